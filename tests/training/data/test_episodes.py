"""Episodes as arrays: sums, splits and windows are what they say, for any lengths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS
from snn_training.data.episodes import (
    check_episodes,
    cut_windows,
    join_sets,
    normalisation,
    relabel,
    returns_to_go,
    split_by_episode,
    take,
    window_ends,
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


@given(LENGTHS, st.integers(1, 15))
def test_windows_are_the_episode_with_padding_before_it(lengths: list[int], window: int) -> None:
    episodes = make_episodes(lengths)
    numbers, ends = window_ends(episodes)
    assert len(numbers) == sum(lengths)
    cut = cut_windows(episodes, numbers, ends, window)
    to_go = returns_to_go(episodes.rewards, episodes.lengths)
    for row, (number, end) in enumerate(zip(numbers, ends, strict=True)):
        known = min(window, end + 1)
        span = slice(end + 1 - known, end + 1)
        assert cut.mask[row].tolist() == [False] * (window - known) + [True] * known
        for ours, theirs in (
            (cut.observations, episodes.observations),
            (cut.actions, episodes.actions),
            (cut.rewards, episodes.rewards),
            (cut.returns_to_go, to_go),
        ):
            np.testing.assert_array_equal(ours[row, window - known :], theirs[number, span])
            assert not ours[row, : window - known].any()
        assert cut.steps[row, -1] == end


def test_windows_show_the_action_before_and_never_the_one_to_learn() -> None:
    episodes = make_episodes([6, 4])
    cut = cut_windows(episodes, np.array([0, 1]), np.array([5, 0]), 3)
    np.testing.assert_array_equal(cut.applied[0], episodes.applied[0, 2:5])
    assert not cut.applied[1].any()  # nothing was applied before an episode's first step


def test_window_ends_keep_their_stride() -> None:
    numbers, ends = window_ends(make_episodes([7, 2]), stride=3)
    assert list(zip(numbers.tolist(), ends.tolist(), strict=True)) == [
        (0, 0),
        (0, 3),
        (0, 6),
        (1, 0),
    ]


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


def test_normalisation_sees_flown_steps_only() -> None:
    episodes = make_episodes([4, 9])
    seen = np.concatenate([episodes.observations[0, :4], episodes.observations[1, :9]])
    mean, deviation = normalisation(episodes)
    np.testing.assert_allclose(mean, seen.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(deviation, seen.std(axis=0), rtol=1e-4)
    constant = replace(episodes, observations=np.zeros_like(episodes.observations))
    assert (normalisation(constant).deviation > 0.0).all()


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
