"""Episodes flown on the twin: consistent, reproducible, disturbed as asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_controller.vehicle.observation import observe
from snn_controller.vehicle.state import Reference, State
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS
from snn_training.data.episodes import EpisodeSet, returns_to_go
from snn_training.rollouts.recipes import CONDITIONS, RANDOM, Degradation, Recipe, collect

HOVER = str(policy_path("hover"))
STILL = {"starts": ("standard",), "conditions": ("nominal",), "moving_share": 0.0}


@pytest.fixture(scope="module")
def flown() -> EpisodeSet:
    return collect(Recipe(HOVER, episodes=32), seed=3)


def test_the_same_seed_flies_the_same_episodes(flown: EpisodeSet) -> None:
    again = collect(Recipe(HOVER, episodes=32), seed=3)
    np.testing.assert_array_equal(again.observations, flown.observations)
    np.testing.assert_array_equal(again.actions, flown.actions)
    assert again.metadata == flown.metadata
    other = collect(Recipe(HOVER, episodes=32), seed=4)
    assert not np.array_equal(other.observations, flown.observations)


def test_every_start_and_condition_is_flown(flown: EpisodeSet) -> None:
    cells = {(x["start"], x["disturbances"]) for x in flown.metadata}
    assert len(cells) == 16
    nominal = [x for x in flown.metadata if x["disturbances"] == "nominal"]
    pushed = [x for x in flown.metadata if x["disturbances"] == "pushed"]
    assert {x["mass"] for x in nominal} == {0.027}
    assert not np.any([x["force"] + x["push"] for x in nominal])
    assert len({x["mass"] for x in pushed}) == len(pushed)
    assert np.all([np.linalg.norm(x["push"]) > 0.1 for x in pushed])


def test_episodes_end_by_the_crash_box_or_the_clock(flown: EpisodeSet) -> None:
    assert (flown.lengths[~flown.terminated] == 500).all()
    last = flown.observations[np.arange(32), flown.lengths, :3]
    crashed = np.abs(last).max(axis=1) >= 0.55  # as seen, with noise on it
    assert (crashed == flown.terminated).all()
    for number, length in enumerate(flown.lengths):
        assert not flown.actions[number, length:].any()
        assert not flown.observations[number, length + 1 :].any()
        assert not flown.rewards[number, length:].any()


def test_rewards_are_those_of_the_states_that_steps_led_to() -> None:
    episodes = collect(Recipe(HOVER, episodes=4, **STILL), seed=1)
    hover = 0.5 + 0.5 * float(np.median(episodes.actions[:, 400:]))
    for number in range(4):
        length = episodes.lengths[number]
        seen = episodes.observations[number, 1 : length + 1].astype(np.float64)
        throttle = 0.5 + 0.5 * episodes.applied[number, :length].astype(np.float64)
        expected = 1.0 - 3.5 * (seen[:, :3] ** 2).sum(axis=1) - 0.1 * (seen[:, 12:15] ** 2).sum(1)
        expected -= 0.5 * ((throttle - hover) ** 2).sum(axis=1)
        tilt = np.arccos(np.clip(seen[:, 11], -1.0, 1.0))
        level = (tilt < 0.02) & (np.abs(seen[:, 4]) < 0.02)  # attitude costs nothing there
        level &= (np.abs(seen[:, 12:15]) < 2.0).all(axis=1)
        np.testing.assert_allclose(
            episodes.rewards[number, :length][level], expected[level], atol=2e-3
        )
    to_go = returns_to_go(episodes.rewards, episodes.lengths)
    np.testing.assert_allclose(to_go[:, 0], episodes.returns, rtol=1e-4)


def test_coefficients_pay_and_are_told() -> None:
    recipe = Recipe(HOVER, episodes=2, **STILL)
    end, start = (
        collect(recipe, seed=0, coefficients=x) for x in (END_COEFFICIENTS, START_COEFFICIENTS)
    )
    np.testing.assert_array_equal(end.observations, start.observations)
    assert (start.returns > end.returns).all()
    assert start.metadata[0]["reward_coefficients"]["throttle"] == 0.14


def test_the_pilot_sees_what_is_stored() -> None:
    """A policy that is run again on the stored observations commands the stored actions."""
    from snn_controller.policy.runtime import Policy

    recipe = Recipe(
        HOVER, episodes=3, starts=("hard",), conditions=("noisy",), handicap=Degradation(noise=0.1)
    )
    episodes = collect(recipe, seed=5)
    policy = Policy.load(HOVER)
    for number in range(3):
        policy.reset()
        before = np.zeros(4, np.float32)
        for step in range(min(60, episodes.lengths[number])):
            observation = episodes.observations[number, step]
            action = policy.step(observation, last_applied_action=before)
            np.testing.assert_allclose(action, episodes.actions[number, step], atol=1e-4)
            before = episodes.applied[number, step]


def test_disturbed_commands_stay_the_pilots_own() -> None:
    episodes = collect(Recipe(HOVER, episodes=8, handicap=Degradation(noise=0.2), **STILL), seed=2)
    moved = (episodes.applied - episodes.actions)[episodes.alive]
    assert 0.15 < moved.std() < 0.25
    calm = collect(Recipe(HOVER, episodes=8, **STILL), seed=2)
    np.testing.assert_array_equal(calm.applied, calm.actions)


@pytest.mark.parametrize(
    ("handicap", "name"),
    [(Degradation(random_share=0.3), "random"), (Degradation(held_share=0.3), "held")],
)
def test_slips_make_a_pilot_worse_and_count_as_its_own(handicap: Degradation, name: str) -> None:
    good = collect(Recipe(HOVER, episodes=40, **STILL), seed=6)
    worse = collect(Recipe(HOVER, name, episodes=40, handicap=handicap, **STILL), seed=6)
    np.testing.assert_array_equal(worse.applied, worse.actions)
    assert worse.returns.mean() < good.returns.mean() - 20.0
    changed = np.abs(np.diff(worse.actions, axis=1)).max(axis=-1)[worse.alive[:, 1:]]
    held = (changed == 0.0).mean()
    assert 0.3 * 0.8 - 0.05 < held < 0.4  # four of the five ticks of a slip repeat its first
    assert set(worse.skills) == {name}


def test_random_pilots_crash_and_the_guide_does_not() -> None:
    random = collect(Recipe(RANDOM, "random", 20, **STILL), seed=0)
    assert random.terminated.all()
    assert np.abs(random.actions[random.alive].mean()) < 0.1
    guide = collect(Recipe("geometric", "guide", 20, **STILL), seed=0)
    assert guide.terminated.mean() < 0.2


def test_other_kinds_of_action_are_flown() -> None:
    episodes = collect(Recipe(str(policy_path("hover_rates")), episodes=4, **STILL), seed=0)
    assert episodes.metadata[0]["action_kind"] == "thrust_rates"
    assert (episodes.lengths > 100).any()


def test_observations_are_those_of_the_state() -> None:
    episodes = collect(Recipe("geometric", episodes=2, **STILL), seed=0)
    matrix = episodes.observations[0, 0, 3:12].reshape(3, 3).astype(np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-5)
    assert observe(State.at_rest(np.zeros(3)), Reference(np.zeros(3))).shape == (18,)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"conditions": ("storm",)}, "unknown condition 'storm'; choose from: nominal, robust"),
        ({"starts": ("moon",)}, "moon"),
        ({"episodes": 0}, "at least one episode"),
        ({"handicap": Degradation(random_share=0.7, held_share=0.7)}, "shares of 0 to 1"),
        ({"handicap": Degradation(noise=-1.0)}, "noise of at least 0"),
        ({"policy": "nobody"}, "there is no guide 'nobody'"),
    ],
)
def test_an_impossible_recipe_is_one_sentence(change: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        collect(replace(Recipe(episodes=2), **change), seed=0)


def test_conditions_disturb_ever_more() -> None:
    assert CONDITIONS["pushed"].push > CONDITIONS["robust"].push > 0.0


@pytest.mark.parametrize("pilot", ["geometric", "hover_mlp"])
def test_leaning_pilots_hover_above_the_target_by_what_each_drew_and_survive(pilot: str) -> None:
    policy = pilot if pilot == "geometric" else str(policy_path(pilot))
    recipe = Recipe(
        policy,
        episodes=20,
        starts=("hover",),
        conditions=("nominal",),
        moving_share=0.0,
        handicap=Degradation(lean=0.4),
    )
    episodes = collect(recipe, seed=3)
    assert not episodes.terminated.any()
    heights = episodes.observations[:, -1, 2]
    assert heights.min() > -0.02
    assert heights.max() < 0.42
    assert heights.std() > 0.08  # each its own
    assert np.corrcoef(heights**2, episodes.returns)[0, 1] < -0.97  # the higher, the less
