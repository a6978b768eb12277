"""Segments: consecutive ticks of many flights, for networks that carry a state.

They are cut out of the replay, of recorded episodes or of demonstrations. A segment of the replay
may hold the end of one episode and the beginning of the next: the state is zeroed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_training.data.episodes import EpisodeSet
from snn_training.data.replay import NOTHING, Flags, Numbers, Replay, Rows

Scalar = TypeVar("Scalar", bound=np.generic)
NO_FLAGS: Flags = np.zeros(0, np.bool_)
NO_NUMBERS: Numbers = np.zeros(0, np.int64)


class Demonstrations(NamedTuple):
    """Flights under the eyes of a teacher; ticks from `lengths` on are meaningless."""

    observations: Rows  # (flights, ticks, 18)
    labels: Rows  # (flights, ticks, 4) the teacher's actions
    errors: Rows  # (flights, ticks) m from the reference
    lengths: Numbers  # (flights,) ticks until lost


class Segments(NamedTuple):
    """Segments of equal length, time first; copies. What their source does not know is empty."""

    observations: Rows  # (ticks, n, 18)
    labels: Rows  # (ticks, n, 4) to be cloned: of the teacher, or as an episode commanded
    counted: Flags  # (ticks, n) the state is known, so the loss counts the tick
    actions: Rows = NOTHING  # (ticks, n, 4) as flown
    restarts: Flags = NO_FLAGS  # (ticks, n) an episode begins with this tick
    steps: Numbers = NO_NUMBERS  # (ticks, n) row of the replay, or step of the episode
    flights: Numbers = NO_NUMBERS  # (ticks, n) drone of the replay, or number of the episode
    next_observations: Rows = NOTHING  # (ticks, n, 18) of the same episode
    reward_parts: Rows = NOTHING  # (ticks, n, 5)
    terminated: Flags = NO_FLAGS  # (ticks, n) the drone crashes in this tick
    truncated: Flags = NO_FLAGS  # (ticks, n) the clock cuts the episode after this tick


def cut_demonstrations(flown: Demonstrations, *, ticks: int, warm_up: int) -> Segments:
    """Cut demonstrations into overlapping segments that start every `ticks - warm_up` ticks.

    A segment in mid-flight starts with unknown neuron states, so its first `warm_up` ticks only
    fill them and do not count. At the start of a flight zero states are right and every tick
    counts. No segment crosses from one flight into the next; ticks after a crash do not count.
    """
    total = flown.observations.shape[1]
    parts = []
    for start in range(0, total - ticks + 1, ticks - warm_up):
        span = slice(start, start + ticks)
        alive = np.arange(start, start + ticks) < flown.lengths[:, None]
        counted = alive & (np.arange(ticks) >= (warm_up if start else 0))
        keep = counted.any(axis=1)
        parts.append(
            Segments(
                observations=_time_first(flown.observations[keep, span]),
                labels=_time_first(flown.labels[keep, span]),
                counted=_time_first(counted[keep]),
            )
        )
    return join_segments(parts)


def join_segments(parts: Sequence[Segments]) -> Segments:
    """Return all segments of several sets of one source in one."""
    arrays = zip(*parts, strict=True)
    return Segments(*(np.concatenate(x, axis=1) if x[0].ndim > 1 else x[0] for x in arrays))


def sample_demonstrations(
    segments: Segments, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw segments with replacement.

    Returns:
        Observations (ticks, size, 18), labels (ticks, size, 4) and weights (ticks, size, 1).
    """
    index = rng.integers(segments.counted.shape[1], size=size)
    observations, labels, counted = (
        torch.from_numpy(np.take(array, index, axis=1)) for array in segments[:3]
    )
    return observations, labels, counted.float()[..., None]


def sample_episodes(
    episodes: EpisodeSet,
    steps: tuple[Numbers, Numbers],
    count: int,
    *,
    ticks: int,
    warm_up: int,
    start_share: float,
    rng: np.random.Generator,
) -> Segments:
    """Draw segments of recorded episodes with replacement, zeros before an episode's first step.

    Args:
        episodes: To draw from.
        steps: All of them, as `all_steps` gives them; each is as likely to end a segment.
        count: Segments to draw.
        ticks: Their length.
        warm_up: Ticks that fill the state where a segment begins in mid-flight.
        start_share: Share of segments that begin with an episode, where zero states are right.
        rng: Source of randomness.
    """
    chosen = rng.integers(len(steps[0]), size=count)
    numbers, ends = steps[0][chosen], steps[1][chosen]
    first = np.minimum(episodes.lengths[numbers], ticks) - 1
    ends = np.where(rng.random(count) < start_share, first, ends)
    return cut_episodes(episodes, numbers, ends, ticks=ticks, warm_up=warm_up)


def cut_episodes(
    episodes: EpisodeSet, numbers: Numbers, ends: Numbers, *, ticks: int, warm_up: int
) -> Segments:
    """Return the segments that end with steps (n,) of episodes (n,), those steps included."""
    steps = ends + np.arange(1 - ticks, 1)[:, None]
    known, steps = steps >= 0, np.maximum(steps, 0)
    flights, there = np.broadcast_to(numbers, steps.shape), known[..., None]
    restarts = (steps == 0) & known
    warm = (np.arange(ticks) >= warm_up)[:, None]
    return Segments(
        observations=episodes.observations[flights, steps] * there,
        labels=episodes.actions[flights, steps] * there,
        counted=known & (warm | restarts.any(axis=0)),
        actions=episodes.applied[flights, steps] * there,
        restarts=restarts,
        steps=steps,
        flights=flights,
    )


def sample_replay(
    replay: Replay,
    count: int,
    *,
    ticks: int,
    warm_up: int,
    start_share: float,
    rng: np.random.Generator,
) -> Segments:
    """Draw segments from anywhere, with replacement; none bridges the seam of the ring.

    Args:
        replay: What was flown.
        count: Number of segments.
        ticks: Their length.
        warm_up: Ticks that fill the state where a segment begins in mid-flight.
        start_share: Share of segments that begin with an episode, where zero states are right.
        rng: Source of randomness.

    Raises:
        ValueError: No segment fits into what is stored.
    """
    room = replay.added - ticks + 1 - replay.first
    if room < 1:
        raise ValueError(f"no segment of {ticks} ticks fits into {replay.added} stored ticks")
    row = replay.first + rng.integers(room, size=count)
    drone = rng.integers(replay.drones, size=count)
    begins, beginners = replay.beginnings(replay.first, replay.first + room)
    wanted = rng.random(count) < start_share
    if len(begins):
        chosen = rng.integers(len(begins), size=count)
        row = np.where(wanted, begins[chosen], row)
        drone = np.where(wanted, beginners[chosen], drone)
    return cut_replay(replay, row, drone, ticks=ticks, warm_up=warm_up)


def cut_replay(
    replay: Replay, row: Numbers, drone: Numbers, *, ticks: int, warm_up: int
) -> Segments:
    """Return the segments that begin at rows (n,) of drones (n,)."""
    rows = row + np.arange(ticks)[:, None]
    drones = np.broadcast_to(drone, rows.shape)
    restarts = replay.take("steps", rows, drones) == 0
    known = np.logical_or.accumulate(restarts, axis=0)
    return Segments(
        observations=replay.take("observations", rows, drones),
        labels=replay.take("labels", rows, drones),
        counted=known | (np.arange(ticks)[:, None] >= warm_up),
        actions=replay.take("actions", rows, drones),
        restarts=restarts,
        steps=rows,
        flights=drones,
        next_observations=replay.take("next_observations", rows, drones),
        reward_parts=replay.take("reward_parts", rows, drones),
        terminated=replay.take("terminated", rows, drones),
        truncated=replay.take("truncated", rows, drones),
    )


def splice(segments: Segments) -> tuple[Segments, Numbers]:
    """Insert the last observation of each cut episode, and of each segment, after its tick.

    So one pass over the longer segments gives a policy's action at what follows every tick. What
    follows a crash is not told apart: its value never counts.

    Returns:
        The longer segments, actions zero where nothing was flown and nothing counted; and where in
        them the tick after each tick is (ticks, n).
    """
    ticks, count = segments.truncated.shape
    cut = segments.truncated.copy()
    cut[-1] = True
    inserted = np.cumsum(cut, axis=0)
    place = np.arange(ticks)[:, None] + inserted - cut
    longer = ticks + int(inserted[-1].max())
    column = np.broadcast_to(np.arange(count), place.shape)
    observations = np.zeros((longer, *segments.observations.shape[1:]), np.float32)
    actions = np.zeros((longer, *segments.actions.shape[1:]), np.float32)
    restarts = np.zeros((longer, count), np.bool_)
    observations[place, column] = segments.observations
    actions[place, column] = segments.actions
    restarts[place, column] = segments.restarts
    observations[place[cut] + 1, column[cut]] = segments.next_observations[cut]
    return Segments(observations, NOTHING, NO_FLAGS, actions, restarts), place + 1


def sum_rewards(
    segments: Segments, rewards: Rows, *, steps: int, gamma: float
) -> tuple[Rows, Rows, Numbers]:
    """Sum the rewards of several ticks from each tick on, to where its episode or segment ends.

    Args:
        segments: The segments.
        rewards: Of each tick (ticks, n).
        steps: Most ticks to sum.
        gamma: Discount of the next tick.

    Returns:
        The discounted sums, the discount of what comes after them, and the last tick summed; each
        (ticks, n).
    """
    ticks = len(rewards)
    over = segments.terminated | segments.truncated
    over[-1] = True
    sums, discounts = rewards.copy(), np.full_like(rewards, gamma)
    last = np.broadcast_to(np.arange(ticks)[:, None], rewards.shape).copy()
    going = ~over
    for ahead in range(1, min(steps, ticks)):
        here = slice(0, ticks - ahead)  # the ticks whose later tick is in the segment
        now = going[here]
        sums[here] += now * discounts[here] * rewards[ahead:]
        discounts[here] *= np.where(now, np.float32(gamma), np.float32(1.0))
        last[here] += now
        going[here] &= ~over[ahead:]
    return sums, discounts, last


def _time_first(array: NDArray[Scalar]) -> NDArray[Scalar]:
    return np.ascontiguousarray(np.swapaxes(array, 0, 1))
