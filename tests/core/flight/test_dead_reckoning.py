"""Dead reckoning against the PyBullet drone, which it must not need."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.flight.backup import MAX_GAP, Sighting, coast
from snn_controller.vehicle.action import Command, stop_command
from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.frames import turn_between
from snn_sim.bullet.drone import Drone
from snn_sim.task.episode import sample_start
from support.states import hovering


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


def test_a_state_that_repeats_itself_is_carried_on_by_the_commands(quadrotor: Quadrotor) -> None:
    hover = np.full(4, quadrotor.hover_throttle)
    sighting, held = Sighting(hover), replace(hovering(), body_rates=np.array([0.5, 0.0, 0.0]))
    command = Command("motors", 1.1 * hover)
    expected, rotors = held, hover
    sighting.see(held, hover, None, 0.0, quadrotor)
    for _ in range(20):
        sighting.see(held, np.zeros(4), command, 0.01, quadrotor)
        expected, rotors = coast(expected, rotors, command, 0.01, quadrotor=quadrotor)
    assert sighting.told is held
    assert sighting.state is not None
    assert sighting.state.position == pytest.approx(expected.position)
    assert sighting.rotors == pytest.approx(rotors)
    alive = replace(held, body_rates=np.array([0.0, 0.7, 0.0]))
    sighting.see(alive, np.zeros(4), command, 0.0, quadrotor)
    assert sighting.state.body_rates == pytest.approx(alive.body_rates)  # the gyro lives
    assert sighting.state.quaternion == pytest.approx(expected.quaternion)
    tilted = replace(alive, quaternion=hovering().quaternion[[3, 0, 1, 2]])
    sighting.see(tilted, np.zeros(4), command, 0.0, quadrotor)
    assert sighting.state.quaternion == pytest.approx(tilted.quaternion)
    assert sighting.state.position == pytest.approx(expected.position)
    moved = replace(tilted, position=np.array([0.0, 0.0, 2.0]))
    sighting.see(moved, hover, command, 0.01, quadrotor)
    assert sighting.state is moved
    assert sighting.rotors is hover


def test_what_rests_with_its_motors_off_stays_where_it_is(quadrotor: Quadrotor) -> None:
    sighting, resting = Sighting(np.zeros(4)), hovering((0.0, 0.0, 0.01))
    for _ in range(50):
        sighting.see(resting, np.zeros(4), stop_command("motors"), 0.01, quadrotor)
    assert sighting.state is resting
