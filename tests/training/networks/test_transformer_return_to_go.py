"""Returns-to-go: what data say, and what a flight keeps by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import axis_angle_to_quaternion
from snn_controller.vehicle.frames import roll_pitch_yaw as angles_of
from snn_controller.vehicle.observation import observe
from snn_controller.vehicle.state import Reference, State
from snn_sim.task.reward import END_COEFFICIENTS, hover_reward
from snn_training.networks.transformer.in_flight import (
    HORIZON,
    mean_returns_to_go,
    next_error,
    reward_of,
    roll_pitch_yaw,
)


def test_of_an_episode_it_begins_with_the_return_and_counts_a_crash_as_nothing() -> None:
    rewards = np.zeros((2, 500), np.float32)
    rewards[0] = 0.9
    rewards[1, :100] = 0.5
    rewards[1, 100:] = 7.0  # after the end; not earned
    means = mean_returns_to_go(rewards, np.array([500, 100]))
    np.testing.assert_allclose(means[0], 0.9, rtol=1e-5)
    assert HORIZON * means[1, 0] == pytest.approx(50.0)
    assert means[1, 99] == pytest.approx(0.5 / 401)
    assert (means[1, 100:] == 0.0).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_in_flight_it_is_the_same_number(seed: int) -> None:
    """Reward by reward, R' = R - r over the ticks that are left is what the data say."""
    rng = np.random.default_rng(seed)
    rewards = rng.uniform(-1.0, 1.0, (1, 500)).astype(np.float32)
    means = mean_returns_to_go(rewards, np.array([500]))[0]
    target = float(means[0])
    left = HORIZON * target
    for tick in range(470):
        assert left / (HORIZON - tick) == pytest.approx(means[tick], abs=1e-4)
        left -= rewards[0, tick]


def test_the_error_is_what_was_earned_too_little_and_is_forgotten() -> None:
    error, target = torch.zeros(1, 1), torch.full((1, 1), 0.9)
    for _ in range(100):
        error = next_error(error, target, torch.full((1, 1), 0.5))
    assert error.item() == pytest.approx(0.4 * (1.0 - (1.0 - 1.0 / HORIZON) ** 100), rel=1e-4)
    for _ in range(100_000):  # a long flight: bounded, without drift
        error = next_error(error, target, torch.full((1, 1), 0.5))
    assert error.item() == pytest.approx(0.4, abs=1e-3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_reward_by_observation_is_that_of_the_simulator(seed: int) -> None:
    rng = np.random.default_rng(seed)
    quadrotor = load_quadrotor("crazyflie21")
    axis = rng.normal(size=3)
    state = State(
        rng.uniform(-0.5, 0.5, 3),
        axis_angle_to_quaternion(axis / np.linalg.norm(axis), rng.uniform(0.0, 3.0)),
        rng.uniform(-1.5, 1.5, 3),
        rng.uniform(-5.0, 5.0, 3),
    )
    reference, action = Reference(np.zeros(3)), rng.uniform(-1.0, 1.0, 4)
    hover = float(quadrotor.hover_throttle)
    expected = hover_reward(
        state,
        reference,
        (action + 1.0) / 2.0,
        hover_throttle=hover,
        coefficients=END_COEFFICIENTS,
    )
    seen = torch.from_numpy(observe(state, reference))[None].double()
    given_ = reward_of(seen, torch.from_numpy(action)[None], END_COEFFICIENTS, hover)
    assert given_.item() == pytest.approx(float(expected), abs=2e-5)
    angles = roll_pitch_yaw(seen[:, 3:12])[0].numpy()
    np.testing.assert_allclose(angles, angles_of(state.rotation), atol=1e-4)
