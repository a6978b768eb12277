"""Episodes as arrays: sums and splits are what they say, for any lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS
from snn_training.data.episodes import (
    check_episodes,
    join_sets,
    relabel,
    returns_to_go,
    split_by_episode,
    take,
)
from support.episode_samples import make_episodes

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


@given(LENGTHS, st.sampled_from([1.0, 0.9]))
def test_returns_to_go_are_the_sums_of_what_comes(lengths: list[int], discount: float) -> None:
    episodes = make_episodes(lengths)
    to_go = returns_to_go(episodes.rewards + 7.0, episodes.lengths, discount=discount)
    for number, length in enumerate(lengths):
        rewards = episodes.rewards[number, :length].astype(np.float64) + 7.0
        for step in range(length):
            factors = discount ** np.arange(length - step)
            assert to_go[number, step] == pytest.approx(factors @ rewards[step:], rel=1e-4)
        assert (to_go[number, length:] == 0.0).all()


def test_a_split_shares_out_whole_episodes_of_every_skill() -> None:
    episodes = join_sets(
        [make_episodes([3] * 20, skill="good"), make_episodes([5] * 10, skill="bad", seed=1)]
    )
    chosen, others = split_by_episode(episodes, 0.8, np.random.default_rng(0))
    assert (chosen.skills.count("good"), chosen.skills.count("bad")) == (16, 8)
    told = {id(entry) for part in (chosen, others) for entry in part.metadata}
    assert told == {id(entry) for entry in episodes.metadata}  # each on one side only
    assert len(chosen) + len(others) == len(episodes)


def test_joined_sets_keep_their_episodes() -> None:
    parts = [make_episodes([3, 2]), make_episodes([5], skill="bad", seed=1)]
    joined = join_sets(parts)
    assert joined.actions.shape == (3, 5, 4)
    assert joined.observations.shape == (3, 6, 18)
    np.testing.assert_array_equal(joined.actions[1, :2], parts[0].actions[1, :2])
    np.testing.assert_array_equal(take(joined, np.array([2])).rewards, parts[1].rewards)
    assert joined.steps == 10
    with pytest.raises(UserError, match="no episodes to join"):
        join_sets([])


def test_other_coefficients_pay_anew() -> None:
    episodes = make_episodes([4])
    start, end = relabel(episodes, START_COEFFICIENTS), relabel(episodes, END_COEFFICIENTS)
    np.testing.assert_allclose(
        start.rewards[0], episodes.parts[0] @ START_COEFFICIENTS.as_array(), rtol=1e-5
    )
    assert not np.allclose(start.rewards, end.rewards)
    assert start.metadata[0]["reward_coefficients"]["position"] == 1.0
    assert episodes.metadata[0]["reward_coefficients"]["position"] == 3.5


def test_unusable_episodes_are_one_sentence() -> None:
    good = make_episodes([4, 9], skills=["a", "b"])
    assert check_episodes(good, "x", window=4) == []
    with pytest.raises(UserError, match="x holds no steps; make it anew"):
        check_episodes(make_episodes([0]), "x")
    broken = make_episodes([4, 9])
    broken.observations[1, 2, 3] = np.nan
    with pytest.raises(UserError, match=r"not finite, first in episode 1 of 1; make it anew"):
        check_episodes(broken, "x")
    with pytest.raises(UserError, match="shorter than the window of 10 steps; choose a window of"):
        check_episodes(good, "x", window=10)
    short, single = check_episodes(make_episodes([4, 9]), "x", window=5)
    assert "1 of 2 episodes of x are shorter than the window of 5 steps" in short
    assert "all episodes of x are of one skill (good)" in single
