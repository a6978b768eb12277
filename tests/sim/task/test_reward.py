"""The reward: hover earns everything, equal tilts cost the same, nothing else is in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import Array, axis_angle_to_quaternion
from snn_controller.vehicle.state import Reference, State
from snn_sim.task.reward import (
    END_COEFFICIENTS,
    START_COEFFICIENTS,
    RewardCoefficients,
    hover_reward,
)

TARGET = Reference(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3]))
AT_TARGET = replace(State.at_rest(TARGET.position), velocity=TARGET.velocity)
HOVER = load_quadrotor("crazyflie21").hover_throttle
HOVERING = np.full(4, HOVER)
BOTH = pytest.mark.parametrize("coefficients", [START_COEFFICIENTS, END_COEFFICIENTS])


def reward(
    state: State, throttle: Array = HOVERING, coefficients: RewardCoefficients = START_COEFFICIENTS
) -> Array:
    return hover_reward(state, TARGET, throttle, hover_throttle=HOVER, coefficients=coefficients)


def turned(axis: list[float], degrees: float) -> State:
    return replace(AT_TARGET, quaternion=axis_angle_to_quaternion(axis, np.deg2rad(degrees)))


def test_published_coefficients() -> None:
    assert RewardCoefficients(1.0, 0.01, 0.14, attitude=0.25, survival=1.0) == START_COEFFICIENTS
    assert RewardCoefficients(3.5, 0.10, 0.50, attitude=0.25, survival=1.0) == END_COEFFICIENTS


@BOTH
def test_perfect_hover_earns_the_survival_bonus(coefficients: RewardCoefficients) -> None:
    assert reward(AT_TARGET, coefficients=coefficients) == coefficients.survival


@BOTH
def test_ten_degrees_cost_the_same_about_every_axis(coefficients: RewardCoefficients) -> None:
    costs = [
        coefficients.survival - reward(turned(axis, sign * 10.0), coefficients=coefficients)
        for axis in ([1, 0, 0], [0, 1, 0], [0, 0, 1])
        for sign in (1, -1)
    ]
    np.testing.assert_allclose(costs, coefficients.attitude * np.deg2rad(10.0) ** 2, rtol=1e-9)


@BOTH
def test_each_term_has_its_weight(coefficients: RewardCoefficients) -> None:
    away = replace(AT_TARGET, position=TARGET.position + np.array([0.0, 0.3, 0.4]))
    fast = replace(AT_TARGET, velocity=TARGET.velocity + np.array([0.3, 0.0, 0.4]))
    one_up = HOVERING + np.array([0.1, 0.0, 0.0, 0.0])
    costs = 1.0 - np.array(
        [
            reward(away, coefficients=coefficients),
            reward(fast, coefficients=coefficients),
            reward(AT_TARGET, one_up, coefficients),
        ]
    )
    expected = [
        0.25 * coefficients.position,
        0.25 * coefficients.velocity,
        0.01 * coefficients.throttle,
    ]
    np.testing.assert_allclose(costs, expected, rtol=1e-9)


def test_body_rates_are_not_charged() -> None:
    assert reward(replace(AT_TARGET, body_rates=np.ones(3))) == 1.0


@given(st.integers(0, 2**32 - 1))
def test_batch_equals_single_and_never_beats_hover(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = State(
        rng.normal(size=(5, 3)), rng.normal(size=(5, 4)), rng.normal(size=(5, 3)), np.zeros((5, 3))
    )
    throttle = rng.uniform(size=(5, 4))
    rewards = reward(batch, throttle)
    assert rewards.shape == (5,)
    assert (rewards <= 1.0).all()
    for row in range(5):
        single = State(batch.position[row], batch.quaternion[row], batch.velocity[row], np.zeros(3))
        assert reward(single, throttle[row]) == pytest.approx(rewards[row], rel=1e-12)


def test_coefficients_move_linearly() -> None:
    half = START_COEFFICIENTS.towards(END_COEFFICIENTS, 0.5)
    assert half == RewardCoefficients(2.25, 0.055, 0.32, attitude=0.25, survival=1.0)
    assert START_COEFFICIENTS.towards(END_COEFFICIENTS, 0.0) == START_COEFFICIENTS
    assert START_COEFFICIENTS.towards(END_COEFFICIENTS, 1.0) == END_COEFFICIENTS
