"""Drones behind a rate loop: what reaches the motors, what is charged, what is remembered."""

from __future__ import annotations

import numpy as np
import pytest

from snn_controller.control.body_rate import autopilot_gains, control_rates
from snn_controller.control.geometric import GuideGains, geometric_thrust_rates
from snn_controller.vehicle.action import RATE_LIMITS, thrust_rates_from_action
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.state import Reference
from snn_sim.envs.batch import Drones
from snn_sim.envs.make import make_drones
from snn_sim.task.disturbances import NOISY
from snn_sim.task.reward import START_COEFFICIENTS, hover_reward

QUADROTOR = load_quadrotor("crazyflie21")


def make(count: int, **options) -> Drones:
    return make_drones("batched", QUADROTOR, count, action_kind="thrust_rates", **options)


def test_the_loop_turns_actions_into_the_throttle_that_is_charged() -> None:
    drones = make(50, disturbances=NOISY, starts=("standard",), seed=1)
    for actions in np.random.default_rng(0).uniform(-1.5, 1.5, (5, 50, 4)):
        measured = drones.observations[:, 15:].astype(np.float64)
        expected = control_rates(
            thrust_rates_from_action(actions),
            measured,
            drones.rotors,
            quadrotor=QUADROTOR,
            gains=autopilot_gains(QUADROTOR),
        )
        drones.step(actions, auto_reset=False)
        np.testing.assert_allclose(drones.throttles, expected, atol=1e-12)
    reward = hover_reward(
        drones.state,
        Reference(np.zeros(3)),
        expected,
        hover_throttle=QUADROTOR.hover_throttle,
        coefficients=START_COEFFICIENTS,
    )
    np.testing.assert_allclose(drones.rewards, reward, atol=1e-9)


def test_zero_actions_hover_and_ask_for_nothing_else() -> None:
    drones = make(3, starts=("hover",))
    start = drones.state.position
    for _ in range(200):
        drones.step(np.zeros((3, 4)))
    np.testing.assert_allclose(drones.state.position, start, atol=1e-3)
    np.testing.assert_allclose(drones.throttles, QUADROTOR.hover_throttle, atol=1e-3)


@pytest.mark.parametrize("airframe", ["crazyflie21", "x500", "racer5"])
def test_every_airframe_flies_to_its_point_behind_its_loop(airframe: str) -> None:
    quadrotor = load_quadrotor(airframe)
    drones = make_drones(
        "batched", quadrotor, 20, action_kind="thrust_rates", starts=("hover",), seed=3
    )
    for _ in range(300):
        asked = geometric_thrust_rates(
            drones.state, Reference(np.zeros(3)), gravity=quadrotor.gravity, gains=GuideGains()
        )
        thrust, rates = asked[:, :1] / quadrotor.gravity - 1.0, asked[:, 1:] / RATE_LIMITS
        drones.step(np.concatenate([thrust, rates], axis=1), auto_reset=False)
        assert not drones.terminated.any()
    np.testing.assert_allclose(drones.state.position, 0.0, atol=1e-3)
    np.testing.assert_allclose(drones.throttles, quadrotor.hover_throttle, atol=1e-3)


def test_body_rates_follow_the_actions() -> None:
    drones = make(4, starts=("easy",), crash_distance=1e9)
    actions = np.zeros((4, 4))
    actions[1:, 1:] = 0.3 * np.eye(3)
    for _ in range(50):
        drones.step(actions, auto_reset=False)
    rates = np.zeros((4, 3))
    rates[1:] = 0.3 * np.diag([6.0, 6.0, 3.0])
    np.testing.assert_allclose(drones.state.body_rates, rates, atol=0.1)


def test_histories_hold_the_actions_themselves_and_begin_with_the_rotors_thrust() -> None:
    drones = make(6, starts=("hard",), history_steps=4, seed=3)
    thrust = QUADROTOR.thrust(drones.rotors).sum(axis=1) / (QUADROTOR.mass * QUADROTOR.gravity)
    begun = np.zeros((6, 4, 4))
    begun[..., 0] = np.clip(thrust - 1.0, -1.0, 1.0)[:, None]
    np.testing.assert_allclose(drones.histories, begun, atol=1e-6)
    actions = np.random.default_rng(0).uniform(-1.5, 1.5, (6, 4))
    drones.step(actions, auto_reset=False)
    np.testing.assert_allclose(drones.histories[:, -1], np.clip(actions, -1, 1), atol=1e-6)
    np.testing.assert_allclose(drones.histories[:, :-1], begun[:, :-1], atol=1e-6)
    drones.restart(np.array([0]))
    np.testing.assert_array_equal(drones.histories[0, :, 1:], 0.0)
    np.testing.assert_allclose(drones.histories[1, -1], np.clip(actions[1], -1, 1), atol=1e-6)


def test_an_action_that_is_not_a_number_crashes_its_drone_only() -> None:
    drones = make(2, starts=("hover",))
    drones.step(np.array([[0.0] * 4, [np.nan, 0.0, 0.0, 0.0]]), auto_reset=False)
    np.testing.assert_array_equal(drones.terminated, [False, True])
