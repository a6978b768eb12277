"""Episodes of the fixed test: caps, crashes, guided steps, what becomes of actions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from snn_controller.control.geometric import GuideGains
from snn_controller.policy.runtime import Policy
from snn_controller.vehicle.action import throttle_from_action
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.observation import OBSERVATION_VERSION, OBSERVATIONS
from snn_controller.vehicle.state import State
from snn_sim.task.episode import EPISODE_STEPS, sample_start
from snn_training.evaluation.flights import Candidate, Episode, Simulator, fly, load_candidate
from snn_training.evaluation.scenarios import Conditions, Draw, draw_episode
from snn_training.rollouts.actors import GeometricActor, Senses
from snn_training.rollouts.batched_policy import BatchedPolicy

QUADROTOR = load_quadrotor("crazyflie21")
AT_REST = State.at_rest(np.zeros(3))
HOVER = np.full(4, QUADROTOR.hover_throttle)
SIMULATORS = get_args(Simulator)


class FixedPolicy:
    """Gives the same action always, and counts what is asked of it."""

    def __init__(self, action: Any, kind: str = "motors") -> None:
        self.action = np.array(action)[None]
        self.metadata = SimpleNamespace(
            action_kind=kind, observation=OBSERVATIONS[OBSERVATION_VERSION]
        )
        self.spike_shares = {"hidden": np.array([0.5])}
        self.synaptic_ops = np.array([3])
        self.resets = 0
        self.applied: list[Array] = []

    def reset(self, drones: NDArray[np.bool_] | None = None) -> None:
        self.resets += 1

    def act(self, senses: Senses) -> Array:
        return self.action

    def set_applied_action(self, applied: Array) -> None:
        self.applied.append(applied[0])


def fly_fixed(
    throttle: float, sim: Simulator, conditions: Conditions | None = None
) -> tuple[FixedPolicy, Episode]:
    policy: Any = FixedPolicy(np.full(4, 2.0 * throttle - 1.0))
    draw = Draw(AT_REST, HOVER, conditions or Conditions())
    (episode,) = fly(Candidate(policy, QUADROTOR, policy), [draw], sim)
    return policy, episode


@pytest.mark.parametrize("sim", SIMULATORS)
def test_episode_runs_to_the_cap_in_hover(sim: Simulator) -> None:
    policy, episode = fly_fixed(QUADROTOR.hover_throttle, sim)
    assert len(episode.states.position) == len(episode.actions) == EPISODE_STEPS
    assert not episode.crashed
    assert policy.resets == 1
    assert episode.spike_rates == {"hidden": 0.5}
    assert episode.synaptic_ops == 3.0


@pytest.mark.parametrize("sim", SIMULATORS)
def test_episode_ends_with_the_step_that_leaves_the_box(sim: Simulator) -> None:
    _, episode = fly_fixed(0.0, sim)
    outside = np.abs(episode.states.position).max(axis=1) > 0.6
    assert episode.crashed
    np.testing.assert_array_equal(np.flatnonzero(outside), [len(outside) - 1])


@pytest.mark.parametrize("sim", SIMULATORS)
def test_command_that_is_not_finite_is_a_crash(sim: Simulator) -> None:
    _, episode = fly_fixed(np.nan, sim)
    assert episode.crashed
    assert len(episode.actions) == 1


@pytest.mark.parametrize("sim", SIMULATORS)
def test_the_controller_flies_the_guided_steps_while_the_policy_looks_on(sim: Simulator) -> None:
    policy, episode = fly_fixed(0.0, sim, Conditions(steps=60, guided_steps=50))
    flown = np.array(policy.applied)
    np.testing.assert_allclose(flown[:50], np.tile(2.0 * HOVER - 1.0, (50, 1)), atol=1e-6)
    np.testing.assert_array_equal(flown[50:], -1.0)
    np.testing.assert_allclose(episode.throttles[:50], np.tile(HOVER, (50, 1)), atol=1e-6)
    np.testing.assert_array_equal(episode.throttles[50:], 0.0)
    assert episode.spike_rates == {"hidden": 0.5}
    assert np.abs(episode.states.position[49]).max() < 1e-6
    assert episode.states.velocity[-1, 2] < -0.1


def test_motor_actions_are_throttle() -> None:
    asked = np.array([-1.0, 0.0, 0.5, 1.0])
    policy: Any = FixedPolicy(asked)
    (episode,) = fly(Candidate(policy, QUADROTOR, policy), [one_step()], "batched")
    np.testing.assert_array_equal(episode.actions, [asked])
    np.testing.assert_array_equal(episode.throttles, [throttle_from_action(asked)])


@pytest.mark.parametrize(("axis", "sign"), [(1, 1.0), (1, -1.0), (2, 1.0), (3, -1.0)])
def test_thrust_rates_pass_through_the_rate_loop(axis: int, sign: float) -> None:
    asked = np.zeros(4)
    for rate in (0.0, 0.05 * sign):
        asked[axis] = rate
        policy: Any = FixedPolicy(asked, "thrust_rates")
        (episode,) = fly(Candidate(policy, QUADROTOR, policy), [one_step()], "batched")
        np.testing.assert_array_equal(episode.actions, [asked])  # scored as the policy gave it
        throttle = episode.throttles[0]
        if rate == 0.0:
            np.testing.assert_allclose(throttle, HOVER)
        else:
            assert np.sign(QUADROTOR.mixer @ QUADROTOR.thrust(throttle))[axis] == sign


def test_drones_one_by_one_are_controlled_as_side_by_side() -> None:
    draws = [draw_episode("hard", 0, number, QUADROTOR) for number in range(4)]
    flown = [
        fly(Candidate(GeometricActor(GuideGains(), one_by_one=x), QUADROTOR), draws, "batched")
        for x in (False, True)
    ]
    for one, other in zip(*flown, strict=True):
        assert one.crashed == other.crashed
        np.testing.assert_allclose(one.states.position[:50], other.states.position[:50], atol=1e-9)
        assert (one.spike_rates, one.synaptic_ops) == ({}, 0.0)


@pytest.mark.parametrize("sim", SIMULATORS)
def test_policy_starts_every_episode_afresh(policy: Policy, sim: Simulator) -> None:
    state, rotors = sample_start(
        "standard", np.random.default_rng(0), target=np.zeros(3), quadrotor=QUADROTOR
    )
    draw, batched = Draw(state, rotors, Conditions(steps=100)), BatchedPolicy(policy, 1)
    candidate = Candidate(batched, QUADROTOR, batched)
    (one,), (other,) = (fly(candidate, [draw], sim) for _ in range(2))
    np.testing.assert_array_equal(one.actions, other.actions)


def test_calibration_gains_depend_on_the_scenario() -> None:
    leads = []
    for scenario in ("easy", "hard"):
        actor = load_candidate("geometric", scenario, sim="batched", count=1).actor
        assert isinstance(actor, GeometricActor)
        leads.append(actor.gains.rate.lead)
    assert leads == [2.0, 5.0]


def one_step() -> Draw:
    return Draw(AT_REST, HOVER, Conditions(steps=1))
