"""Batches of an `EpisodeSet`: transitions for critics, windows for policies with a state."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_sim.task import GUIDE_INPUT_SIZE, HISTORY_STEPS
from snn_training.data.episodes import EpisodeSet, Numbers, Rows, cut_windows, window_ends


class Transitions(NamedTuple):
    """Single steps, copies of what the episodes hold."""

    inputs: Rows  # (n, 146) observation and the last 32 applied actions
    actions: Rows  # (n, 4) as commanded
    rewards: Rows  # (n,)
    next_inputs: Rows  # (n, 146)
    terminated: NDArray[np.bool_]  # (n,) the step crashed; one that the clock cut off did not


class PolicyWindows(NamedTuple):
    """Windows for a policy with a state, time first."""

    observations: Rows  # (ticks, n, 18)
    actions: Rows  # (ticks, n, 4) as commanded
    flown: Rows  # (ticks, n, 4) applied after each observation
    restarts: NDArray[np.bool_]  # (ticks, n) an episode begins with this tick
    counted: NDArray[np.bool_]  # (ticks, n) the loss counts this tick: the state is warm
    episodes: Numbers  # (n,)
    steps: Numbers  # (ticks, n) number of each tick in its episode


def all_steps(episodes: EpisodeSet) -> tuple[Numbers, Numbers]:
    """Return episode and step (n,), (n,) of every step that was flown."""
    return window_ends(episodes)


def transitions_at(episodes: EpisodeSet, numbers: Numbers, steps: Numbers) -> Transitions:
    """Return the transitions of steps (n,) of episodes (n,)."""
    last = steps == episodes.lengths[numbers] - 1
    return Transitions(
        critic_inputs(episodes, numbers, steps),
        episodes.actions[numbers, steps],
        episodes.rewards[numbers, steps],
        critic_inputs(episodes, numbers, steps + 1),
        episodes.terminated[numbers] & last,
    )


def critic_inputs(episodes: EpisodeSet, numbers: Numbers, steps: Numbers) -> Rows:
    """Return what critics see (n, 146) before steps (n,); zeros stand for earlier actions."""
    before = steps[:, None] - np.arange(HISTORY_STEPS, 0, -1)
    known = (before >= 0)[..., None]
    history = episodes.applied[numbers[:, None], np.maximum(before, 0)] * known
    inputs = [episodes.observations[numbers, steps], history.reshape(len(numbers), -1)]
    return np.concatenate(inputs, axis=1).reshape(-1, GUIDE_INPUT_SIZE)


def sample_policy_windows(
    episodes: EpisodeSet,
    steps: tuple[Numbers, Numbers],
    count: int,
    *,
    ticks: int,
    warm_up: int,
    start_share: float,
    rng: np.random.Generator,
) -> PolicyWindows:
    """Draw windows with replacement.

    Args:
        episodes: To draw from.
        steps: All of them, as `all_steps` gives them; each is as likely to end a window.
        count: Windows to draw.
        ticks: Their length.
        warm_up: Ticks that fill the state where a window begins in mid-flight.
        start_share: Share of windows that begin with an episode, where zero states are right.
        rng: Source of randomness.
    """
    chosen = rng.integers(len(steps[0]), size=count)
    numbers, ends = steps[0][chosen], steps[1][chosen]
    first = np.minimum(episodes.lengths[numbers], ticks) - 1
    ends = np.where(rng.random(count) < start_share, first, ends)
    # returns-to-go are not used here, and would take longer than all the rest
    windows = cut_windows(episodes, numbers, ends, ticks, to_go=episodes.rewards)
    begun = (windows.steps == 0) & windows.mask
    warm = np.arange(ticks) >= warm_up
    counted = windows.mask & (warm | begun.any(axis=1)[:, None])
    flown = episodes.applied[numbers[:, None], windows.steps] * windows.mask[..., None]
    return PolicyWindows(
        observations=_time_first(windows.observations),
        actions=_time_first(windows.actions),
        flown=_time_first(flown),
        restarts=_time_first(begun),
        counted=_time_first(counted),
        episodes=numbers,
        steps=_time_first(windows.steps),
    )


def _time_first(array: NDArray) -> NDArray:
    return np.ascontiguousarray(np.swapaxes(array, 0, 1))
