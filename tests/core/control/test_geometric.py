"""The geometric controller: pushes the right way, agrees with its parts, takes batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.control.body_rate import RateGains, control_rates
from snn_controller.control.geometric import GuideGains, geometric_control, geometric_thrust_rates
from snn_controller.vehicle.action import action_from_throttle, throttle_from_action
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import Array, axis_angle_to_quaternion
from snn_controller.vehicle.state import Reference, State

QUADROTOR = load_quadrotor("crazyflie21")
HOVER = np.full(4, QUADROTOR.hover_throttle)
ORIGIN = Reference(np.zeros(3))
GAINS = GuideGains(rate=RateGains(lead=0.0))
AT_REST = State.at_rest(np.zeros(3))


def wrench(state: State, reference: Reference = ORIGIN) -> Array:
    """Return force and body torque (4,) of the guide's command once the rotors have followed."""
    action = geometric_control(state, reference, HOVER, quadrotor=QUADROTOR, gains=GAINS)
    return QUADROTOR.mixer @ QUADROTOR.thrust(throttle_from_action(action))


def test_nothing_to_do_is_hover() -> None:
    action = geometric_control(AT_REST, ORIGIN, HOVER, quadrotor=QUADROTOR, gains=GuideGains())
    np.testing.assert_allclose(action, action_from_throttle(HOVER), atol=1e-12)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_errors_push_back(sign: float) -> None:
    for field, size in (("position", 0.1), ("velocity", 0.2)):
        forward, left, up = (replace(AT_REST, **{field: sign * size * axis}) for axis in np.eye(3))
        # too far forward: the nose goes up; too far left: the left side goes up; too high: sink
        assert np.sign(wrench(forward)[2]) == -sign
        assert np.sign(wrench(left)[1]) == sign
        assert np.sign(wrench(up)[0] - QUADROTOR.mass * QUADROTOR.gravity) == -sign


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_tilt_and_spin_are_turned_back(axis: int, sign: float) -> None:
    turned = axis_angle_to_quaternion(np.eye(3)[axis], sign * 0.1)
    assert np.sign(wrench(replace(AT_REST, quaternion=turned))[1 + axis]) == -sign
    spinning = replace(AT_REST, body_rates=sign * 0.5 * np.eye(3)[axis])
    assert np.sign(wrench(spinning)[1 + axis]) == -sign


def test_moving_reference_pulls_along() -> None:
    pulled = wrench(AT_REST, Reference(np.zeros(3), np.array([0.2, 0.0, 0.0])))
    assert pulled[2] > 0.0  # nose down, to go forward


@given(st.integers(0, 2**32 - 1))
def test_actions_are_finite_and_in_range_from_anywhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-2, 2)
    state = State(*(scale * rng.normal(size=size) for size in (3, 4, 3, 3)))
    action = geometric_control(
        state, ORIGIN, rng.uniform(size=4), quadrotor=QUADROTOR, gains=GuideGains()
    )
    assert np.isfinite(action).all()
    assert (np.abs(action) <= 1.0).all()


def test_upside_down_turns_rather_than_stalls() -> None:
    over = replace(AT_REST, quaternion=np.array([1.0, 0.0, 0.0, 0.0]))
    rates = geometric_thrust_rates(over, ORIGIN, gravity=QUADROTOR.gravity, gains=GAINS)[1:3]
    assert np.isfinite(rates).all()
    assert np.linalg.norm(rates) > 1.0


@given(st.integers(0, 2**32 - 1))
def test_two_halves_make_the_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = State(*(rng.normal(size=size) for size in (3, 4, 3, 3)))
    rotors, gains = rng.uniform(size=4), GuideGains()
    commands = geometric_thrust_rates(state, ORIGIN, gravity=QUADROTOR.gravity, gains=gains)
    throttle = control_rates(
        commands, state.body_rates, rotors, quadrotor=QUADROTOR, gains=gains.rate
    )
    whole = geometric_control(state, ORIGIN, rotors, quadrotor=QUADROTOR, gains=gains)
    np.testing.assert_allclose(action_from_throttle(throttle), whole, atol=1e-12)


def test_lead_runs_ahead_of_the_rotors() -> None:
    slow = HOVER - 0.05
    plain, led = (
        control_rates(
            np.array([QUADROTOR.gravity, 0.0, 0.0, 0.0]),
            np.zeros(3),
            slow,
            quadrotor=QUADROTOR,
            gains=RateGains(lead=lead),
        )
        for lead in (0.0, 2.0)
    )
    np.testing.assert_allclose(plain, HOVER)
    np.testing.assert_allclose(led, HOVER + 2.0 * 0.05)


def test_batch_is_rows_of_singles() -> None:
    rng = np.random.default_rng(0)
    batch = State(*(rng.normal(size=(6, size)) for size in (3, 4, 3, 3)))
    rotors = rng.uniform(size=(6, 4))
    actions = geometric_control(batch, ORIGIN, rotors, quadrotor=QUADROTOR, gains=GuideGains())
    for row in range(6):
        single = State(
            batch.position[row], batch.quaternion[row], batch.velocity[row], batch.body_rates[row]
        )
        expected = geometric_control(
            single, ORIGIN, rotors[row], quadrotor=QUADROTOR, gains=GuideGains()
        )
        np.testing.assert_allclose(actions[row], expected, atol=1e-12)
