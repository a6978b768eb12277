"""Drones behind a rate loop: what reaches the motors, what is charged, what is remembered."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_controller.control.body_rate import autopilot_gains, control_rates
from snn_controller.control.geometric import GuideGains, geometric_thrust_rates
from snn_controller.vehicle.action import RATE_LIMITS, thrust_rates_from_action
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.observation import BODY_RATES
from snn_controller.vehicle.state import Reference
from snn_sim.envs.drones import Drones
from snn_sim.envs.make import make_drones
from snn_sim.envs.rate_control import (
    MAX_DELAY,
    RateControlledDrones,
    RateVariation,
    control_by_loops,
    deliver,
    draw_loops,
    same_loops,
)
from snn_sim.task.disturbances import NOISY
from snn_sim.task.reward import START_COEFFICIENTS, hover_reward
from snn_training.algorithms.apg.rate_control import loop_tensors, make_rate_loop

QUADROTOR = load_quadrotor("crazyflie21")
COUNT = 500


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Actions, some beyond their range, body rates and rotors."""
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(-1.2, 1.2, (COUNT, 4)),
        rng.normal(size=(COUNT, 3)),
        rng.uniform(size=(COUNT, 4)),
    )


def test_equal_loops_are_the_loop_of_the_core() -> None:
    actions, rates, rotors = draw(0)
    gains = autopilot_gains(QUADROTOR)
    command = thrust_rates_from_action(actions)
    expected = control_rates(command, rates, rotors, quadrotor=QUADROTOR, gains=gains)
    loops = same_loops(gains, COUNT)
    found = control_by_loops(command, rates, rotors, quadrotor=QUADROTOR, loops=loops)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("airframe", ["crazyflie21", "cf2x"])
def test_pytorch_has_the_same_law_and_finite_slopes(airframe: str) -> None:
    quadrotor = load_quadrotor(airframe)
    actions, rates, rotors = draw(1)
    rng = np.random.default_rng(2)
    loops = draw_loops(RateVariation(), quadrotor, COUNT, rng)
    past = rng.uniform(-1.0, 1.0, (COUNT, MAX_DELAY, 4))
    actions = np.concatenate([actions[:, None], past], axis=1)  # newest first
    arrived = np.einsum("nk,nka->na", loops.delivery, actions.clip(-1.0, 1.0))
    expected = control_by_loops(
        thrust_rates_from_action(arrived), rates, rotors, quadrotor=quadrotor, loops=loops
    )
    tensors = tuple(torch.tensor(x, dtype=torch.float32) for x in (actions, rates, rotors))
    for tensor in tensors:
        tensor.requires_grad_()
    found = make_rate_loop(quadrotor)(tensors[0], tensors[1], tensors[2], loop_tensors(loops))
    # next to the turn of the thrust curve the throttle is off by 0.01, times the lead of up to 4
    off = np.abs(found.detach().numpy() - expected)
    assert off.max() < 0.06 and np.mean(off > 1e-4) < 0.15
    found.sum().backward()
    leads = float(np.max(loops.lead)) > 0.0  # without a lead the rotors do not matter
    for tensor in tensors:
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()
        assert (tensor.grad.abs().max() > 0.0) == (leads or tensor is not tensors[2])


def test_loops_are_drawn_around_the_autopilots() -> None:
    variation, rng = RateVariation(), np.random.default_rng(3)
    loops = draw_loops(variation, QUADROTOR, 2000, rng)
    nominal = autopilot_gains(QUADROTOR)
    for axis, (low, high) in enumerate([variation.tilt, variation.tilt, variation.yaw]):
        factors = loops.rates[:, axis] / nominal.rates[axis]
        assert low <= factors.min() < low + 0.01 and high - 0.01 < factors.max() <= high
    np.testing.assert_array_equal(loops.rates[:, 0], loops.rates[:, 1])
    assert (loops.thrust_lead >= 0.0).all() and (loops.thrust_lead <= loops.lead).all()
    lag = QUADROTOR.motor_time_constant_up / (1.0 + loops.lead)
    assert lag.min() > 0.6 * 0.024 - 1e-9 and lag.max() < 1.5 * 0.024 + 1e-9


def test_commands_arrive_after_their_delay() -> None:
    shares = deliver(np.array([0.0, 1.0, 1.25, 3.0]))
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0.75, 0.25, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(shares, expected)
    late = RateVariation((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), delay=(2.0, 2.0))
    options = {"action_kind": "thrust_rates", "starts": ("easy",), "seed": 1}
    drones = make_drones("batched", QUADROTOR, 3, rate_variation=late, **options)
    seen = []
    for tick in range(5):
        actions = np.full((3, 4), 0.0)
        actions[:, 0] = 0.5 if tick == 0 else 0.0  # one short call for more thrust
        drones.step(actions, auto_reset=False)
        seen.append(drones.throttles.mean())
    assert np.argmax(seen) == 2 and seen[1] < seen[2] - 0.05


def test_an_episode_has_the_loop_of_its_seed_and_numbers() -> None:
    def make(count: int, seed: int = 5) -> RateControlledDrones:
        drones = make_drones(
            "batched",
            QUADROTOR,
            count,
            action_kind="thrust_rates",
            rate_variation=RateVariation(),
            starts=("hover",),
            seed=seed,
        )
        assert isinstance(drones, RateControlledDrones)
        return drones

    few, many = make(3), make(6)
    np.testing.assert_array_equal(few.loops.rates, many.loops.rates[:3])
    assert len(np.unique(many.loops.rates[:, 0])) == 6
    assert not np.isin(make(3, seed=6).loops.rates, few.loops.rates).any()
    first = few.loops.rates.copy()
    few.restart(np.array([1]))
    assert (few.loops.rates[1] != first[1]).all()
    np.testing.assert_array_equal(few.loops.rates[[0, 2]], first[[0, 2]])
    actions = np.random.default_rng(7).uniform(-0.3, 0.3, (3, 4))
    other = make(3)
    other.restore(few.snapshot())
    for drones in (few, other):
        drones.restart(np.array([0]))
        drones.step(actions)
    np.testing.assert_array_equal(few.observations, other.observations)
    np.testing.assert_array_equal(few.loops.rates, other.loops.rates)


QUADROTOR = load_quadrotor("crazyflie21")


def make(count: int, **options) -> Drones:
    return make_drones("batched", QUADROTOR, count, action_kind="thrust_rates", **options)


def test_the_loop_turns_actions_into_the_throttle_that_is_charged() -> None:
    drones = make(50, disturbances=NOISY, starts=("standard",), seed=1)
    for actions in np.random.default_rng(0).uniform(-1.5, 1.5, (5, 50, 4)):
        measured = drones.observations[:, BODY_RATES].astype(np.float64)
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
