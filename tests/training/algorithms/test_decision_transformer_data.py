"""What a decision transformer learns from: the right rows side by side, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_training.algorithms.decision_transformer.data import Lanes, Stretches, return_range
from snn_training.data.episodes import EpisodeSet
from snn_training.networks.transformer.in_flight import HORIZON, mean_returns_to_go
from support.episode_samples import make_episodes


def numbered(lengths: list[int]) -> EpisodeSet:
    """Episodes whose first observation names the episode and the second the tick."""
    episodes = make_episodes(lengths)
    episodes.observations[..., 0] = np.arange(len(lengths))[:, None]
    episodes.observations[..., 1] = np.arange(episodes.observations.shape[1])
    return episodes


def test_every_row_is_of_one_tick_and_the_last_action_of_the_one_before() -> None:
    episodes = numbered([60, 45, 80])
    lanes, rng = Lanes(episodes, 16, 10, Stretches(ticks=30)), np.random.default_rng(0)
    means = mean_returns_to_go(episodes.rewards, episodes.lengths)
    for _ in range(12):
        chunk = lanes.chunk(rng)
        for lane in range(16):
            for row in range(10):
                if not chunk.weights[row, lane, 0]:
                    continue
                number, tick = (int(x) for x in chunk.observations[row, lane, :2])
                assert tick < episodes.lengths[number]
                np.testing.assert_array_equal(
                    chunk.actions[row, lane], episodes.actions[number, tick]
                )
                before = episodes.applied[number, tick - 1] if tick else np.zeros(4)
                np.testing.assert_array_equal(chunk.last_actions[row, lane], before)
                assert chunk.returns[row, lane, 0].item() == pytest.approx(means[number, tick])


def test_chunks_follow_each_other_until_a_stretch_ends() -> None:
    lanes, rng = Lanes(numbered([200] * 5), 32, 10, Stretches(ticks=40)), np.random.default_rng(1)
    before, begun = lanes.chunk(rng), 0
    assert not before.keep.any()  # everyone begins
    for _ in range(20):
        chunk = lanes.chunk(rng)
        goes_on = chunk.keep[:, 0] > 0
        last, first = before.observations[-1, :, :2], chunk.observations[0, :, :2]
        assert (first[goes_on, 0] == last[goes_on, 0]).all()
        assert (first[goes_on, 1] == last[goes_on, 1] + 1).all()
        begun += int((~goes_on).sum())
        before = chunk
    assert begun == pytest.approx(20 * 32 / 4, rel=0.2)


def test_what_lies_after_an_end_has_no_weight() -> None:
    lanes, rng = Lanes(numbered([7, 9]), 8, 20, Stretches(ticks=20)), np.random.default_rng(0)
    chunk = lanes.chunk(rng)
    lengths = np.array([7, 9])[chunk.observations[0, :, 0].int().numpy()]
    np.testing.assert_array_equal(chunk.weights.sum(0)[:, 0].numpy(), lengths)


def test_lanes_go_on_from_a_snapshot() -> None:
    episodes = numbered([100, 50, 70])
    one, other = (Lanes(episodes, 6, 10, Stretches(ticks=20)) for _ in range(2))
    rng = np.random.default_rng(3)
    for _ in range(5):
        one.chunk(rng)
    other.restore({name: x.copy() for name, x in one.snapshot().items()})
    rngs = (np.random.default_rng(4), np.random.default_rng(4))
    for _ in range(5):
        for ours, theirs in zip(one.chunk(rngs[0]), other.chunk(rngs[1]), strict=True):
            assert (ours == theirs).all()


def test_the_range_of_returns_holds_most_episodes_and_one_return_is_refused() -> None:
    episodes = make_episodes([500] * 20)
    low, high = return_range(episodes)
    means = mean_returns_to_go(episodes.rewards, episodes.lengths)
    inside = (means * HORIZON >= low) & (means * HORIZON <= high)
    assert inside.mean() == pytest.approx(0.98, abs=0.005)
    same = np.ones_like(episodes.rewards)
    with pytest.raises(UserError, match="same return"):
        return_range(replace(episodes, rewards=same))
