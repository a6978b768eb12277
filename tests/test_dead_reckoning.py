"""Dead reckoning against the PyBullet drone, which it must not need."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import hovering
from snn_controller.action import Command
from snn_controller.dead_reckoning import MAX_GAP, coast
from snn_controller.frames import turn_between
from snn_controller.quadrotor import Quadrotor

from sim.drone import Drone
from sim.starts import sample_start


@pytest.mark.parametrize("seed", range(5))
def test_a_third_of_a_second_of_motor_commands(quadrotor: Quadrotor, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = np.array([0.0, 0.0, 2.0])
    with Drone(quadrotor) as drone:
        state, rotors = sample_start("standard", rng, target=target, quadrotor=quadrotor)
        drone.reset(state, rotors)
        for _ in range(30):
            throttle = np.clip(quadrotor.hover_throttle + rng.normal(0.0, 0.01, 4), 0.0, 1.0)
            command = Command("motors", throttle)
            drone.step(throttle)
            state, rotors = coast(state, rotors, command, 0.01, quadrotor=quadrotor)
        assert np.linalg.norm(state.position - drone.state.position) < 0.02
        assert np.linalg.norm(state.velocity - drone.state.velocity) < 0.1
        assert turn_between(state.quaternion, drone.state.quaternion) < 0.05
        assert rotors == pytest.approx(drone.rotors, abs=1e-6)


def test_thrust_and_rates_are_taken_at_their_word(quadrotor: Quadrotor) -> None:
    command = Command("thrust_rates", np.array([quadrotor.gravity, 0.0, 0.0, 2.0]))
    after, _ = coast(hovering(), np.zeros(4), command, 0.2, quadrotor=quadrotor)
    assert after.position == pytest.approx([0.0, 0.0, 1.0])
    assert after.quaternion == pytest.approx([0.0, 0.0, np.sin(0.2), np.cos(0.2)])


def test_free_fall_and_long_gaps(quadrotor: Quadrotor) -> None:
    command = Command("thrust_rates", np.zeros(4))
    after, _ = coast(hovering(), np.zeros(4), command, 9.0, quadrotor=quadrotor)
    assert after.position[2] == pytest.approx(1.0 - 0.5 * quadrotor.gravity * MAX_GAP**2)
    same, _ = coast(hovering(), np.zeros(4), command, 0.0, quadrotor=quadrotor)
    assert same.position[2] == 1.0
