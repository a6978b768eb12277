"""A disturbed PyBullet drone and the twin under the same disturbance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.control.geometric import GuideGains, geometric_control
from snn_controller.vehicle.action import action_from_throttle
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.state import Reference, State
from snn_sim.batched.batch import DroneBatch
from snn_sim.bullet.drone import Drone
from snn_sim.bullet.episode import DisturbedDrone
from snn_sim.task.disturbances import (
    NOISY,
    NOMINAL,
    ROBUST,
    Disturbance,
    Disturbances,
    disturbance_from_row,
    draw_disturbance,
)

QUADROTOR = load_quadrotor("crazyflie21")
HOVER = QUADROTOR.hover_throttle
FLIGHTS = 10
FAULTY = replace(
    NOMINAL, position_bias=0.02, rotation_bias=0.01, velocity_bias=0.1, rate_bias=0.2, dropout=0.1
)


def draw(seed: int, sizes: Disturbances = ROBUST) -> Disturbance:
    rng = np.random.default_rng(seed)
    return draw_disturbance(sizes, rng, quadrotor=QUADROTOR, period=0.01, steps=100)


def at_rest(count: int) -> State:
    zeros = np.zeros((count, 3))
    return State(zeros, np.tile([0.0, 0.0, 0.0, 1.0], (count, 1)), zeros, zeros)


def fly_both(disturbances: list[Disturbance], command) -> tuple[Array, Array]:
    """Return the paths (100, flights, 3) of a second on the twin and in PyBullet at 2000 Hz."""
    count = len(disturbances)
    drones = DroneBatch(QUADROTOR, count, crash_distance=1e9)
    drones.set_states(at_rest(count), np.full((count, 4), HOVER))
    drones.set_disturbances(disturbances)
    paths = np.zeros((2, 100, count, 3))
    for step in range(100):
        throttle = command(step, drones.state, drones.rotors)
        drones.step(action_from_throttle(throttle), auto_reset=False)
        paths[0, step] = drones.state.position
    with Drone(QUADROTOR, physics_rate=2000.0, ground=False) as world:
        drone = DisturbedDrone(world)
        for number, disturbance in enumerate(disturbances):
            drone.disturb(disturbance)
            drone.reset(State.at_rest(np.zeros(3)), np.full(4, HOVER))
            for step in range(100):
                throttle = command(step, world.state, world.rotors)
                throttle = throttle[number] if throttle.ndim == 2 else throttle
                paths[1, step, number] = drone.step(throttle).position
    return paths[0], paths[1]


def test_open_loop_under_disturbances_agrees_within_half_a_centimetre() -> None:
    """Mass, inertia, thrust, lag, delay, force, torque and push, over one second."""
    commands = HOVER + np.random.default_rng(0).uniform(-0.05, 0.05, (100, FLIGHTS, 4))
    twin, bullet = fly_both([draw(seed) for seed in range(FLIGHTS)], lambda t, s, r: commands[t])
    travelled = np.linalg.norm(twin[-1], axis=1)
    assert travelled.min() > 0.2  # m, so much do the disturbances do
    assert np.linalg.norm(twin - bullet, axis=2).max() < 0.005


def test_closed_loop_under_disturbances_agrees_within_two_millimetres() -> None:
    def guide(step: int, state: State, rotors: Array) -> Array:
        action = geometric_control(
            state, Reference(np.zeros(3)), rotors, quadrotor=QUADROTOR, gains=GuideGains()
        )
        return 0.5 + 0.5 * np.clip(action, -1.0, 1.0)

    delayed = [replace(draw(seed), delay=0.002 * seed) for seed in range(FLIGHTS)]
    twin, bullet = fly_both(delayed, guide)
    assert np.linalg.norm(twin, axis=2).max() > 0.2  # m, so far they are pushed
    assert np.linalg.norm(twin - bullet, axis=2).max() < 0.002


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.017, 0.02])
def test_delayed_commands_reach_the_rotors_as_in_the_twin(delay: float) -> None:
    """Exactly, because both solve the motor lag exactly."""
    disturbance = replace(draw(0, NOMINAL), delay=delay)
    throttles = np.random.default_rng(1).uniform(0.2, 0.9, (20, 4))
    drones = DroneBatch(QUADROTOR, 1, crash_distance=1e9)
    drones.set_states(at_rest(1), np.full((1, 4), HOVER))
    drones.set_disturbances([disturbance])
    with Drone(QUADROTOR, ground=False) as world:
        drone = DisturbedDrone(world)
        drone.disturb(disturbance)
        drone.reset(State.at_rest(np.zeros(3)), np.full(4, HOVER))
        for throttle in throttles:
            drone.step(throttle)
            drones.step(action_from_throttle(throttle)[None], auto_reset=False)
            np.testing.assert_allclose(world.rotors, drones.rotors[0], atol=1e-12)


def test_a_drone_is_nominal_again_after_a_disturbance() -> None:
    with Drone(QUADROTOR, ground=False) as world:
        drone, heights = DisturbedDrone(world), []
        for disturbance in (None, draw(3), None):
            drone.disturb(disturbance)
            drone.reset(State.at_rest(np.zeros(3)), np.full(4, HOVER))
            for _ in range(20):
                drone.step(np.full(4, HOVER))
            heights.append(world.state.position[2])
    assert heights[0] == heights[2] != heights[1]


def test_disturbances_survive_as_rows() -> None:
    for sizes in (ROBUST, FAULTY):
        disturbance = draw(5, sizes)
        again = disturbance_from_row(disturbance.as_row(), QUADROTOR)
        np.testing.assert_array_equal(again.as_row(), disturbance.as_row())
        assert again.push_start == disturbance.push_start
        assert again.dropout == sizes.dropout


def test_sensor_faults_do_not_change_what_else_is_drawn() -> None:
    """The fixed test's episodes are as they were before there were sensor faults."""
    plain, faulty = draw(1), draw(1, replace(ROBUST, rate_bias=0.1, dropout=0.1))
    np.testing.assert_array_equal(plain.as_row()[:9], faulty.as_row()[:9])
    np.testing.assert_array_equal(plain.force, faulty.force)
    np.testing.assert_array_equal(plain.push, faulty.push)
    assert not plain.bias.any()
    assert faulty.bias[15:].all()
    twins = [DroneBatch(QUADROTOR, 9, disturbances=x) for x in (NOISY, replace(NOISY, dropout=0.3))]
    np.testing.assert_array_equal(twins[0].observations, twins[1].observations)
