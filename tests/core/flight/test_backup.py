from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.flight.backup import (
    CLIMB_SPEED,
    SINK_SPEED,
    BackupController,
    descent_command,
    landing_reference,
    takeoff_reference,
)
from snn_controller.vehicle.action import RATE_LIMITS, Command
from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.frames import GRAVITY
from snn_controller.vehicle.state import Reference, State

START = np.array([0.1, -0.2, 0.0125])
HOVER = np.array([0.0, 0.0, 1.0])


@given(st.floats(0.0, 30.0))
def test_takeoff_climbs_straight_at_its_speed_and_ends_at_the_hover_point(time: float) -> None:
    reference = takeoff_reference(START, HOVER, time)
    way = np.linalg.norm(HOVER - START)
    flown = min(CLIMB_SPEED * time, float(way))
    assert np.linalg.norm(reference.position - START) == pytest.approx(flown, abs=1e-9)
    expected = CLIMB_SPEED if flown < way else 0.0
    assert np.linalg.norm(reference.velocity) == pytest.approx(expected)


@given(st.floats(0.0, 30.0))
def test_landing_sinks_straight_down_and_ends_below_the_ground(time: float) -> None:
    reference = landing_reference(HOVER, 0.0, time)
    assert np.array_equal(reference.position[:2], HOVER[:2])
    assert -0.31 < reference.position[2] <= HOVER[2]
    assert reference.velocity[2] in (-SINK_SPEED, 0.0)


def test_landing_reference_moves_as_its_velocity_says() -> None:
    before, after = (landing_reference(HOVER, 0.0, time) for time in (1.0, 1.1))
    moved = (after.position - before.position) / 0.1
    assert moved == pytest.approx(before.velocity)


@pytest.mark.parametrize("kind", ["motors", "thrust_rates"])
def test_the_blind_descent_is_level_and_lighter_than_the_weight(quadrotor: Quadrotor, kind) -> None:
    command = descent_command(quadrotor, kind)
    weight = quadrotor.mass * quadrotor.gravity
    if kind == "motors":
        force, *torque = quadrotor.mixer @ quadrotor.thrust(command.values)
    else:
        force, torque = command.values[0] * quadrotor.mass, command.values[1:]
    assert 0.5 * weight < force < weight
    assert np.allclose(torque, 0.0, atol=1e-9)


def test_both_kinds_of_guide_ask_for_the_same_push(quadrotor: Quadrotor) -> None:
    state, reference = State.at_rest(np.array([0.2, 0.0, 0.9])), Reference(HOVER)
    rates = BackupController(quadrotor, "thrust_rates", 0.01).fly(state, reference).values
    motors = BackupController(quadrotor, "motors", 0.01).fly(state, reference).values
    _, _, pitch, _ = quadrotor.mixer @ quadrotor.thrust(motors)
    assert rates[0] > quadrotor.gravity  # too low: more than the weight
    assert rates[2] < 0.0  # too far ahead: nose up
    assert np.sign(pitch) == np.sign(rates[2])


def test_the_rotor_model_follows_motor_commands(quadrotor: Quadrotor) -> None:
    pilot = BackupController(quadrotor, "motors", 0.01)
    state, reference = State.at_rest(np.array([0.0, 0.0, 0.8])), Reference(HOVER)
    fresh = pilot.fly(state, reference).values
    for _ in range(100):
        pilot.follow(Command("motors", np.ones(4)))
    # rotors already fast: the lag lead now asks for less
    assert (pilot.fly(state, reference).values < fresh).all()
    pilot.reset(rotors_turning=True)
    assert np.array_equal(pilot.fly(state, reference).values, fresh)


def test_the_guide_asks_for_no_rates_that_an_action_could_not(quadrotor: Quadrotor) -> None:
    upside_down = np.array([1.0, 0.0, 0.0, 0.0])
    state = State(np.array([2.0, 2.0, 3.0]), upside_down, np.full(3, 3.0), np.zeros(3))
    values = BackupController(quadrotor, "thrust_rates", 0.01).fly(state, Reference(HOVER)).values
    assert 0.0 <= values[0] <= 2.0 * GRAVITY
    assert (np.abs(values[1:]) <= RATE_LIMITS).all()
    assert np.abs(values[1]) == RATE_LIMITS[0]  # the limit was needed
