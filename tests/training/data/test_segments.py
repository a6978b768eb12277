"""Segments: consecutive ticks, never across an unmasked reset or the ring's seam."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_training.data.replay import Replay, Transitions
from snn_training.data.segments import cut_episodes, cut_replay, sample_replay, splice
from support.episode_samples import make_episodes

NUMBERS = st.integers(0, 1000)


def fly(replay: Replay, ticks: int, seed: int, end_share: float) -> None:
    """Add made-up flights; observations say tick and drone, then tick within the episode."""
    rng, drones = np.random.default_rng(seed), replay.drones
    steps = np.zeros(drones, np.int32)
    for tick in range(ticks):
        observations = np.zeros((drones, 18), np.float32)
        observations[:, 0], observations[:, 1], observations[:, 2] = tick, np.arange(drones), steps
        following = observations.copy()
        following[:, 2] += 1
        following[:, 3] = 1.0  # marks what was never an observation of its own
        ended = rng.random(drones) < end_share
        crashed = ended & (rng.random(drones) < 0.5)
        replay.add(
            Transitions(
                observations,
                rng.uniform(-1, 1, (drones, 4)).astype(np.float32),
                following,
                np.zeros((drones, 5), np.float32),
                crashed,
                ended & ~crashed,
                steps,
                np.zeros((drones, 4), np.float32),
                labels=np.full((drones, 4), tick, np.float32),
            )
        )
        steps = np.where(ended, 0, steps + 1).astype(np.int32)


@given(NUMBERS, st.integers(8, 200), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.0, 1.0]))
def test_segments_are_consecutive_and_masked_at_every_reset(
    seed: int, ticks: int, end_share: float, start_share: float
) -> None:
    replay = Replay(3, 3 * 60, labelled=True)
    fly(replay, ticks, seed, end_share)
    segments = sample_replay(
        replay, 20, ticks=8, warm_up=5, start_share=start_share, rng=np.random.default_rng(seed)
    )
    tick, drone, step = (segments.observations[..., i] for i in range(3))
    assert (np.diff(tick, axis=0) == 1).all()  # so none jumps at the seam of the ring
    assert (np.diff(drone, axis=0) == 0).all()
    np.testing.assert_array_equal(segments.restarts, step == 0)
    bridged = np.diff(step, axis=0) != 1
    np.testing.assert_array_equal(bridged, segments.restarts[1:])
    np.testing.assert_array_equal(segments.labels[..., 0], tick)
    np.testing.assert_array_equal(segments.steps, tick)
    np.testing.assert_array_equal(segments.flights, drone)


@given(NUMBERS, st.sampled_from([0.0, 0.1, 0.5]))
def test_a_tick_counts_when_warm_or_when_its_episode_began_inside(
    seed: int, end_share: float
) -> None:
    replay = Replay(4, 400, labelled=True)
    fly(replay, 70, seed, end_share)
    segments = sample_replay(
        replay, 30, ticks=12, warm_up=7, start_share=0.3, rng=np.random.default_rng(seed)
    )
    since = segments.observations[..., 2]
    for (tick, segment), counted in np.ndenumerate(segments.counted):
        began_inside = since[tick, segment] <= tick
        assert counted == (
            tick >= 7 or began_inside or segments.restarts[: tick + 1, segment].any()
        )


def test_the_share_of_segments_that_begin_with_an_episode() -> None:
    replay = Replay(4, 4 * 100, labelled=True)
    fly(replay, 90, 0, 0.02)
    shares = [
        sample_replay(
            replay, 500, ticks=9, warm_up=3, start_share=x, rng=np.random.default_rng(0)
        ).restarts[0].mean()
        for x in (0.0, 0.5, 1.0)
    ]  # fmt: skip
    assert shares[0] < 0.1
    assert 0.45 < shares[1] < 0.6
    assert shares[2] == 1.0


@given(NUMBERS, st.integers(0, 300))
def test_beginnings_are_all_first_ticks_in_the_ring(seed: int, ticks: int) -> None:
    replay = Replay(3, 3 * 50, labelled=True)
    fly(replay, ticks, seed, 0.1)
    copy = Replay(3, 3 * 50, labelled=True)
    copy.restore(replay.snapshot())
    first = max(0, replay.added - replay.rows)
    grid = np.meshgrid(np.arange(first, replay.added), np.arange(3), indexing="ij")
    steps = replay.take("steps", *grid)
    expected = {(row + first, drone) for row, drone in zip(*np.nonzero(steps == 0), strict=True)}
    for one in (replay, copy):
        assert set(zip(*one.beginnings(first, replay.added), strict=True)) == expected


@given(NUMBERS, st.sampled_from([0.0, 0.2, 1.0]))
def test_splicing_puts_the_last_observation_of_cut_episodes_after_their_tick(
    seed: int, end_share: float
) -> None:
    replay = Replay(3, 300, labelled=True)
    fly(replay, 60, seed, end_share)
    segments = sample_replay(
        replay, 16, ticks=10, warm_up=5, start_share=0.2, rng=np.random.default_rng(seed)
    )
    spliced, following = splice(segments)
    column = np.broadcast_to(np.arange(16), following.shape)
    after = spliced.observations[following, column]
    now = spliced.observations[following - 1, column]
    np.testing.assert_array_equal(now, segments.observations)
    same_episode = np.zeros((10, 16), np.bool_)
    same_episode[:-1] = ~segments.restarts[1:]
    cut = segments.truncated.copy()
    cut[-1] = True
    np.testing.assert_array_equal(after[cut], segments.next_observations[cut])
    inside = same_episode & ~cut
    np.testing.assert_array_equal(after[inside][:, :3], segments.next_observations[inside][:, :3]
                                  + np.array([1, 0, 0], np.float32))  # fmt: skip
    restarts = spliced.restarts[following - 1, column]
    np.testing.assert_array_equal(restarts, segments.restarts)
    assert not spliced.restarts[following, column][cut].any()


def test_a_segment_that_does_not_fit_is_refused() -> None:
    replay = Replay(2, 200, labelled=True)
    fly(replay, 9, 0, 0.0)
    with pytest.raises(ValueError, match="no segment"):
        sample_replay(replay, 1, ticks=10, warm_up=0, start_share=0.0, rng=np.random.default_rng(0))


def test_segments_are_copies() -> None:
    replay = Replay(2, 200, labelled=True)
    fly(replay, 40, 0, 0.1)
    zeros = np.zeros(3, np.int64)
    segments = cut_replay(replay, zeros, zeros, ticks=5, warm_up=0)
    kept = [x.copy() for x in segments]
    for array in segments[:2]:
        array[...] = 9
    again = cut_replay(replay, zeros, zeros, ticks=5, warm_up=0)
    for one, other in zip(again, kept, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 15))
def test_segments_of_episodes_are_the_episode_with_padding_before_it(
    lengths: list[int], ticks: int
) -> None:
    episodes = make_episodes(lengths)
    numbers, ends = np.nonzero(episodes.alive)
    cut = cut_episodes(episodes, numbers, ends, ticks=ticks, warm_up=ticks - 1)
    for column, (number, end) in enumerate(zip(numbers, ends, strict=True)):
        known = min(ticks, end + 1)
        span = slice(end + 1 - known, end + 1)
        for ours, theirs in (
            (cut.observations, episodes.observations),
            (cut.labels, episodes.actions),
            (cut.actions, episodes.applied),
        ):
            np.testing.assert_array_equal(ours[ticks - known :, column], theirs[number, span])
            assert not ours[: ticks - known, column].any()
        begins = cut.steps[:, column] == 0
        assert cut.restarts[:, column].sum() == (known == end + 1)
        assert begins[cut.restarts[:, column]].all()
        if known == end + 1:  # zero states are right at the start of an episode
            assert cut.counted[ticks - known :, column].all()
        assert not cut.counted[: ticks - known, column].any()
        assert cut.counted[-1, column]
