"""The PyBullet drone against an RK4 rigid body, and its promises on reset."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from snn_controller.control.geometric import GuideGains, geometric_control
from snn_controller.errors import UserError
from snn_controller.vehicle.action import action_from_throttle
from snn_controller.vehicle.airframe import Quadrotor, load_quadrotor
from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.observation import BODY_RATES
from snn_controller.vehicle.state import Reference, State
from snn_sim.batched.batch import DroneBatch
from snn_sim.bullet.drone import DisturbedDrone, Drone, connect, import_pybullet
from snn_sim.task.disturbances import (
    NOISY,
    NOMINAL,
    ROBUST,
    Disturbance,
    Disturbances,
    disturbance_from_row,
    draw_disturbance,
)
from snn_sim.task.episode import sample_start
from support.rigid_body import fly_rk4


def test_missing_pybullet_is_one_sentence_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pybullet", None)
    monkeypatch.delitem(sys.modules, "pybullet")
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UserError, match=r"pip install -e '\.\[flight\]'"):
        import_pybullet()


def test_window_without_display_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UserError, match="display"):
        connect(gui=True)


def test_import_writes_nothing() -> None:
    script = "import snn_sim.bullet.drone; snn_sim.bullet.drone.import_pybullet()"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


HIGH = np.array([0.0, 0.0, 5.0])  # m, out of reach of the ground
QUADROTOR = load_quadrotor("crazyflie21")
PERIODS = 50


def tumbling(seed: int, quadrotor: Quadrotor) -> tuple[State, Array, Array]:
    """Return a start that spins at several rad/s, its rotors and throttles (50, 4) near hover."""
    rng = np.random.default_rng(seed)
    state, rotors = sample_start("hard", rng, target=HIGH, quadrotor=quadrotor)
    state = replace(state, body_rates=5.0 * state.body_rates)
    throttles = quadrotor.hover_throttle + rng.uniform(-0.05, 0.05, (PERIODS, 4))
    return state, rotors, throttles


def fly(drone: Drone, state: State, rotors: Array, throttles: Array) -> State:
    drone.reset(state, rotors)
    for throttle in throttles:
        drone.step(throttle)
    return drone.state


def differences(one: State, other: State) -> Array:
    """Return distance in m, angle in rad, and differences of velocity and body rates."""
    cosine = min(1.0, abs(float(one.quaternion @ other.quaternion)))
    return np.array(
        [
            np.linalg.norm(one.position - other.position),
            2.0 * np.arccos(cosine),
            np.linalg.norm(one.velocity - other.velocity),
            np.linalg.norm(one.body_rates - other.body_rates),
        ]
    )


def as_row(state: State) -> Array:
    return np.concatenate([state.position, state.quaternion, state.velocity, state.body_rates])


@pytest.mark.parametrize(
    "quadrotor",
    [
        QUADROTOR,
        # three unlike moments of inertia make the gyroscopic term dominate
        replace(QUADROTOR, inertia=np.array([1e-5, 3e-5, 2e-5])),
        replace(QUADROTOR, motor_time_constant_up=0.0555, motor_time_constant_down=0.2494),
    ],
    ids=["crazyflie21", "unlike inertia", "unlike lag"],
)
def test_converges_to_rk4_with_first_order(quadrotor: Quadrotor) -> None:
    cases = [tumbling(seed, quadrotor) for seed in range(3)]
    references = [
        fly_rk4(state, rotors, throttles, quadrotor=quadrotor, period=0.01, steps=4)[-1]
        for state, rotors, throttles in cases
    ]
    errors = []
    for rate in (500.0, 1000.0):
        with Drone(quadrotor, physics_rate=rate) as drone:
            found = [fly(drone, *case) for case in cases]
        pairs = zip(found, references, strict=True)
        errors.append(np.mean([differences(*pair) for pair in pairs], axis=0))
    coarse, fine = errors
    # after 0.5 s of tumbling: 1 cm, 9 degrees, 5 cm/s, 0.6 rad/s (30 starts measured)
    assert (coarse < [0.010, 0.15, 0.05, 0.6]).all()
    np.testing.assert_allclose(coarse / fine, 2.0, rtol=0.15)


def test_reset_gives_the_state_asked_for() -> None:
    state, rotors, _ = tumbling(0, QUADROTOR)
    with Drone(QUADROTOR) as drone:
        found = drone.reset(state, rotors)
        np.testing.assert_allclose(as_row(found), as_row(state), atol=1e-12)
        np.testing.assert_array_equal(drone.rotors, rotors)
        assert drone.time == 0.0


def test_same_commands_give_identical_trajectories_even_after_a_crash() -> None:
    state, rotors, throttles = tumbling(1, QUADROTOR)
    with Drone(QUADROTOR) as drone, Drone(QUADROTOR) as other:
        first = as_row(fly(drone, state, rotors, throttles))
        drone.reset(replace(state, position=np.array([0.0, 0.0, 0.1])), rotors)
        for _ in range(100):
            drone.step(None)
        assert drone.touching_ground
        again = as_row(fly(drone, state, rotors, throttles))
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(first, as_row(fly(other, state, rotors, throttles)))


def test_identical_landings_after_each_other() -> None:
    """Contacts are solved the same way however many contacts there were before."""
    state, rotors, _ = tumbling(2, QUADROTOR)
    low = replace(state, position=np.array([0.0, 0.0, 0.2]))
    rows = []
    with Drone(QUADROTOR) as drone:
        for _ in range(3):
            rows.append(as_row(fly(drone, low, rotors, np.full((100, 4), 0.2))))
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])


def test_worlds_in_one_process_do_not_touch() -> None:
    state, rotors, throttles = tumbling(3, QUADROTOR)
    with Drone(QUADROTOR) as alone:
        expected = as_row(fly(alone, state, rotors, throttles))
    with Drone(QUADROTOR) as one, Drone(QUADROTOR) as other:
        one.reset(state, rotors)
        other.reset(state, rotors)
        for throttle in throttles:
            one.step(throttle)
            other.step(None)
        np.testing.assert_array_equal(as_row(one.state), expected)


def test_resets_cost_neither_memory_nor_more_and_more_time() -> None:
    state, rotors, _ = tumbling(4, QUADROTOR)
    durations = []
    with Drone(QUADROTOR) as drone:
        for number in range(6000):
            begin = time.perf_counter()
            drone.reset(state, rotors)
            durations.append(time.perf_counter() - begin)
            drone.step(rotors)
            if number == 2000:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert growth < 1024  # kB over 4000 resets
    assert np.median(durations[-1000:]) < 3.0 * np.median(durations[:1000])


def test_hover_throttle_hovers() -> None:
    rotors = np.full(4, QUADROTOR.hover_throttle)
    with Drone(QUADROTOR) as drone:
        end = fly(drone, State.at_rest(HIGH), rotors, np.tile(rotors, (100, 1)))
    np.testing.assert_allclose(as_row(end), as_row(State.at_rest(HIGH)), atol=1e-6)


def test_stopped_motors_fall_freely_and_run_down() -> None:
    with Drone(QUADROTOR) as drone:
        drone.reset(State.at_rest(HIGH), np.ones(4))
        for _ in range(50):
            drone.step(None)
        expected = np.exp(-0.5 / QUADROTOR.motor_time_constant_down)
        np.testing.assert_allclose(drone.rotors, expected, rtol=1e-9)
        np.testing.assert_allclose(drone.state.velocity, [0.0, 0.0, -9.81 * 0.5], atol=1e-9)
        assert drone.time == pytest.approx(0.5)


def test_rests_on_the_ground_and_takes_off() -> None:
    state, rotors = sample_start(
        "ground", np.random.default_rng(0), target=HIGH, quadrotor=QUADROTOR
    )
    with Drone(QUADROTOR) as drone:
        drone.reset(state, rotors)
        assert drone.touching_ground
        for _ in range(100):
            drone.step(None)
        assert drone.touching_ground
        np.testing.assert_allclose(drone.state.position, state.position, atol=1e-3)
        for _ in range(50):
            drone.step(np.full(4, 0.9))
        assert not drone.touching_ground
        assert drone.state.position[2] > 0.1


def test_without_ground_nothing_is_touched() -> None:
    with Drone(QUADROTOR, ground=False) as drone:
        drone.reset(State.at_rest(np.zeros(3)), np.zeros(4))
        for _ in range(20):
            drone.step(None)
        assert drone.state.position[2] < -0.1
        assert not drone.touching_ground


def test_damping_is_linear_and_quadratic() -> None:
    damping, speed, step = 0.04, 0.0, 1e-4
    for _ in range(5000):  # v' = g - d (1 + v) v over 0.5 s
        speed += step * (9.81 - damping * (1.0 + speed) * speed)
    with Drone(QUADROTOR, damping=damping) as drone:
        drone.reset(State.at_rest(HIGH), np.zeros(4))
        for _ in range(50):
            drone.step(None)
        assert drone.state.velocity[2] == pytest.approx(-speed, rel=1e-3)


@pytest.mark.parametrize("throttle", [np.full(4, np.nan), np.zeros(3), np.array([0, 0, 0, np.inf])])
def test_unusable_throttle_is_refused(throttle: Array) -> None:
    with Drone(QUADROTOR) as drone, pytest.raises(UserError, match="four finite numbers"):
        drone.step(throttle)


@pytest.mark.parametrize(("physics", "control"), [(250.0, 100.0), (50.0, 100.0), (100.0, 0.0)])
def test_rates_that_do_not_divide_are_refused(physics: float, control: float) -> None:
    with pytest.raises(UserError, match="multiple"):
        Drone(QUADROTOR, physics_rate=physics, control_rate=control)


def test_closing_twice_does_no_harm() -> None:
    drone = Drone(QUADROTOR)
    drone.close()
    drone.close()
    assert drone.client < 0


def test_force_and_torque_from_outside_act_on_another_airframe() -> None:
    """Against RK4; Bullet's first-order integrator leaves 3 mm and 3 mrad after 0.3 s."""
    heavy = replace(QUADROTOR, mass=0.030, inertia=1.2 * QUADROTOR.inertia)
    force, torque = np.array([0.02, -0.01, 0.015]), np.array([2e-6, -3e-6, 1e-6])
    rotors, throttles = np.full(4, 0.6), np.full((30, 4), 0.65)
    state = replace(State.at_rest(HIGH), quaternion=np.array([0.3, -0.2, 0.1, 0.9]) / 0.95**0.5)
    expected = fly_rk4(
        state,
        rotors,
        throttles,
        quadrotor=heavy,
        period=0.01,
        steps=4,
        force=force,
        torque=torque,
    )[-1]
    with Drone(QUADROTOR) as drone:
        drone.become(heavy)
        drone.reset(state, rotors)
        for throttle in throttles:
            drone.step(throttle, force=force, torque=torque)
        assert (differences(drone.state, expected)[:2] < [0.003, 0.003]).all()
        drone.become(QUADROTOR)
        lighter = fly(drone, state, rotors, throttles)
    with Drone(QUADROTOR) as drone:
        np.testing.assert_array_equal(as_row(fly(drone, state, rotors, throttles)), as_row(lighter))


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
    assert faulty.bias[BODY_RATES].all()
    twins = [DroneBatch(QUADROTOR, 9, disturbances=x) for x in (NOISY, replace(NOISY, dropout=0.3))]
    np.testing.assert_array_equal(twins[0].observations, twins[1].observations)
