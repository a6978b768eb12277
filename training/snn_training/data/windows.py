"""Windows of consecutive ticks from the replay, for networks that carry a state.

A window may hold the end of one episode and the beginning of the next: the state is zeroed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_training.data.replay import Replay


class Episodes(NamedTuple):
    """What a roll-out recorded; ticks from `lengths` on are meaningless."""

    observations: NDArray[np.float32]  # (episodes, ticks, 18)
    labels: NDArray[np.float32]  # (episodes, ticks, 4) the guide's actions
    errors: NDArray[np.float32]  # (episodes, ticks) m from the reference
    lengths: NDArray[np.int64]  # (episodes,) ticks until lost


class Sequences(NamedTuple):
    """Sequences of equal length; `weights` says which ticks the loss counts."""

    observations: NDArray[np.float32]  # (sequences, ticks, 18)
    labels: NDArray[np.float32]  # (sequences, ticks, 4)
    weights: NDArray[np.float32]  # (sequences, ticks)


def cut_sequences(episodes: Episodes, *, ticks: int, warm_up: int) -> Sequences:
    """Cut episodes into overlapping sequences that start every `ticks - warm_up` ticks.

    A sequence in mid-flight starts with unknown neuron states, so its first `warm_up` ticks only
    fill them and carry no weight. At the start of an episode zero states are right and every tick
    counts. No sequence crosses from one episode into the next; ticks after a crash carry no weight.
    """
    total = episodes.observations.shape[1]
    starts = range(0, total - ticks + 1, ticks - warm_up)
    parts = []
    for start in starts:
        span = slice(start, start + ticks)
        alive = np.arange(start, start + ticks) < episodes.lengths[:, None]
        counted = alive & (np.arange(ticks) >= (warm_up if start else 0))
        keep = counted.any(axis=1)
        parts.append(
            Sequences(
                episodes.observations[keep, span],
                episodes.labels[keep, span],
                counted[keep].astype(np.float32),
            )
        )
    return join(parts)


def join(parts: Sequence[Sequences]) -> Sequences:
    """Return all sequences of several sets in one."""
    return Sequences(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def sample_batch(
    sequences: Sequences, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw sequences with replacement, time first.

    Returns:
        Observations (ticks, size, 18), labels (ticks, size, 4) and weights (ticks, size, 1).
    """
    index = rng.integers(len(sequences.observations), size=size)
    observations, labels, weights = (
        torch.from_numpy(array[index]).transpose(0, 1).contiguous() for array in sequences
    )
    return observations, labels, weights[..., None]


Rows = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Windows(NamedTuple):
    """Windows of equal length, time first; copies of what is stored."""

    observations: Rows  # (ticks, n, 18)
    actions: Rows  # (ticks, n, 4) as flown
    labels: Rows  # (ticks, n, 4) of the guide, or (ticks, n, 0)
    next_observations: Rows  # (ticks, n, 18) of the same episode
    reward_parts: Rows  # (ticks, n, 5)
    restarts: Flags  # (ticks, n) an episode begins with this tick
    terminated: Flags  # (ticks, n) the drone crashes in this tick
    truncated: Flags  # (ticks, n) the clock cuts the episode after this tick
    counted: Flags  # (ticks, n) the state is known, so the loss counts the tick
    rows: NDArray[np.int64]  # (ticks, n) of the replay
    drones: NDArray[np.int64]  # (ticks, n)


class Spliced(NamedTuple):
    """Windows in which the last observation of each cut episode has become a tick of its own."""

    observations: Rows  # (longer, n, 18)
    actions: Rows  # (longer, n, 4) as flown; zero where nothing was
    restarts: Flags  # (longer, n)
    following: NDArray[np.int64]  # (ticks, n) where the tick after each tick is


def sample_windows(
    replay: Replay,
    count: int,
    *,
    ticks: int,
    warm_up: int,
    start_share: float,
    rng: np.random.Generator,
) -> Windows:
    """Draw windows from anywhere, with replacement; none bridges the seam of the ring.

    Args:
        replay: What was flown.
        count: Number of windows.
        ticks: Their length.
        warm_up: Ticks that fill the state where a window begins in mid-flight.
        start_share: Share of windows that begin with an episode, where zero states are right.
        rng: Source of randomness.

    Raises:
        ValueError: No window fits into what is stored.
    """
    room = replay.added - ticks + 1 - replay.first
    if room < 1:
        raise ValueError(f"no window of {ticks} ticks fits into {replay.added} stored ticks")
    row = replay.first + rng.integers(room, size=count)
    drone = rng.integers(replay.drones, size=count)
    begins, beginners = replay.beginnings(replay.first, replay.first + room)
    wanted = rng.random(count) < start_share
    if len(begins):
        chosen = rng.integers(len(begins), size=count)
        row = np.where(wanted, begins[chosen], row)
        drone = np.where(wanted, beginners[chosen], drone)
    return cut_windows(replay, row, drone, ticks=ticks, warm_up=warm_up)


def cut_windows(
    replay: Replay,
    row: NDArray[np.int64],
    drone: NDArray[np.int64],
    *,
    ticks: int,
    warm_up: int,
) -> Windows:
    """Return the windows that begin at rows (n,) of drones (n,)."""
    rows = row + np.arange(ticks)[:, None]
    drones = np.broadcast_to(drone, rows.shape)
    restarts = replay.take("steps", rows, drones) == 0
    known = np.logical_or.accumulate(restarts, axis=0)
    return Windows(
        *(replay.take(x, rows, drones) for x in ("observations", "actions", "labels")),
        next_observations=replay.take("next_observations", rows, drones),
        reward_parts=replay.take("reward_parts", rows, drones),
        restarts=restarts,
        terminated=replay.take("terminated", rows, drones),
        truncated=replay.take("truncated", rows, drones),
        counted=known | (np.arange(ticks)[:, None] >= warm_up),
        rows=rows,
        drones=drones,
    )


def splice(windows: Windows) -> Spliced:
    """Insert the last observation of each cut episode, and of each window, after its tick.

    So one pass over the longer windows gives a policy's action at what follows every tick. What
    follows a crash is not told apart: its value never counts.
    """
    ticks, count = windows.truncated.shape
    cut = windows.truncated.copy()
    cut[-1] = True
    inserted = np.cumsum(cut, axis=0)
    place = np.arange(ticks)[:, None] + inserted - cut
    longer = ticks + int(inserted[-1].max())
    column = np.broadcast_to(np.arange(count), place.shape)
    observations = np.zeros((longer, *windows.observations.shape[1:]), np.float32)
    actions = np.zeros((longer, *windows.actions.shape[1:]), np.float32)
    restarts = np.zeros((longer, count), np.bool_)
    observations[place, column] = windows.observations
    actions[place, column] = windows.actions
    restarts[place, column] = windows.restarts
    observations[place[cut] + 1, column[cut]] = windows.next_observations[cut]
    return Spliced(observations, actions, restarts, place + 1)


def sum_rewards(
    windows: Windows, rewards: Rows, *, steps: int, gamma: float
) -> tuple[Rows, Rows, NDArray[np.int64]]:
    """Sum the rewards of several ticks from each tick on, to where its episode or window ends.

    Args:
        windows: The windows.
        rewards: Of each tick (ticks, n).
        steps: Most ticks to sum.
        gamma: Discount of the next tick.

    Returns:
        The discounted sums, the discount of what comes after them, and the last tick summed; each
        (ticks, n).
    """
    ticks = len(rewards)
    over = windows.terminated | windows.truncated
    over[-1] = True
    sums, discounts = rewards.copy(), np.full_like(rewards, gamma)
    last = np.broadcast_to(np.arange(ticks)[:, None], rewards.shape).copy()
    going = ~over
    for ahead in range(1, min(steps, ticks)):
        here = slice(0, ticks - ahead)  # the ticks whose later tick is in the window
        now = going[here]
        sums[here] += now * discounts[here] * rewards[ahead:]
        discounts[here] *= np.where(now, np.float32(gamma), np.float32(1.0))
        last[here] += now
        going[here] &= ~over[ahead:]
    return sums, discounts, last
