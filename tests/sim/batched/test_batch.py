"""The batched twin's physics, against an RK4 rigid body and the PyBullet drone.

Where nothing is cached, compiling takes about 15 s.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from numba.core.caching import CompileResultCacheImpl, IndexDataCacheFile
from numba.extending import is_jitted

from snn_controller.control.geometric import GuideGains, geometric_control
from snn_controller.errors import UserError
from snn_controller.vehicle.action import action_from_throttle
from snn_controller.vehicle.airframe import Quadrotor, load_quadrotor
from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.observation import OBSERVATION_SIZE, OBSERVATION_VERSION, OBSERVATIONS
from snn_controller.vehicle.state import Reference, State
from snn_sim.batched.batch import DroneBatch
from snn_sim.batched.layout import LANES
from snn_sim.batched.scalar_math import compile_kept
from snn_sim.bullet.drone import Drone
from snn_sim.task.disturbances import ROBUST, Disturbance, draw_disturbance
from snn_sim.task.episode import sample_start
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS, reward_parts
from support.places import ROOT
from support.rigid_body import fly_rk4

SIM = ROOT / "sim" / "snn_sim" / "batched"
QUADROTOR = load_quadrotor("crazyflie21")
FAR = 1e9  # m, no crash
UNEQUAL = replace(
    QUADROTOR,
    inertia=np.array([1e-5, 3e-5, 2e-5]),
    motor_time_constant_up=0.0555,
    motor_time_constant_down=0.2494,
)
STILL = Disturbance(
    QUADROTOR,
    delay=0.0,
    force=np.zeros(3),
    torque=np.zeros(3),
    push=np.zeros(3),
    push_start=0,
    push_end=0,
)


def tumbling(seed: int, quadrotor: Quadrotor, periods: int) -> tuple[State, Array, Array]:
    """Return a start that spins at several rad/s, its rotors and throttles (periods, 4)."""
    rng = np.random.default_rng(seed)
    state, rotors = sample_start("hard", rng, target=np.zeros(3), quadrotor=quadrotor)
    state = replace(state, body_rates=5.0 * state.body_rates)
    return state, rotors, quadrotor.hover_throttle + rng.uniform(-0.05, 0.05, (periods, 4))


def stack(states: list[State]) -> State:
    fields = ("position", "quaternion", "velocity", "body_rates")
    return State(*(np.stack([getattr(state, field) for state in states]) for field in fields))


def fly(quadrotor: Quadrotor, cases: list[tuple[State, Array, Array]], rate: float) -> State:
    """Return the last states of a batch that flies every case once."""
    drones = DroneBatch(quadrotor, len(cases), control_rate=rate, crash_distance=FAR)
    drones.set_states(stack([case[0] for case in cases]), np.stack([case[1] for case in cases]))
    for throttle in np.stack([case[2] for case in cases], axis=1):
        drones.step(action_from_throttle(throttle), auto_reset=False)
    return drones.state


def largest_differences(one: State, other: State) -> Array:
    """Return the largest distance in m, angle in rad, and differences of velocity and rates."""
    cosine = np.minimum(1.0, np.abs(np.sum(one.quaternion * other.quaternion, axis=-1)))
    pairs = [(one.position, other.position), (one.velocity, other.velocity)]
    pairs.append((one.body_rates, other.body_rates))
    position, velocity, rates = (np.linalg.norm(a - b, axis=-1).max() for a, b in pairs)
    return np.array([position, 2.0 * np.arccos(cosine).max(), velocity, rates])


@pytest.mark.slow
@pytest.mark.parametrize("quadrotor", [QUADROTOR, UNEQUAL], ids=["crazyflie21", "unequal"])
def test_agrees_with_rk4_at_small_steps(quadrotor: Quadrotor) -> None:
    cases = [tumbling(seed, quadrotor, 200) for seed in range(3)]
    expected = stack(
        [fly_rk4(*case, quadrotor=quadrotor, period=1e-3, steps=2)[-1] for case in cases]
    )
    found = fly(quadrotor, cases, 1000.0)
    np.testing.assert_allclose(found.position, expected.position, atol=1e-9)
    np.testing.assert_allclose(found.velocity, expected.velocity, atol=1e-8)
    np.testing.assert_allclose(found.body_rates, expected.body_rates, atol=1e-7)
    np.testing.assert_allclose(found.rotation, expected.rotation, atol=1e-8)


def test_ten_millisecond_steps_are_exact_enough() -> None:
    cases = [tumbling(seed, QUADROTOR, 50) for seed in range(5)]
    expected = stack(
        [fly_rk4(*case, quadrotor=QUADROTOR, period=0.01, steps=10)[-1] for case in cases]
    )
    errors = largest_differences(fly(QUADROTOR, cases, 100.0), expected)
    assert (errors < [5e-5, 3e-4, 3e-4, 1e-4]).all(), errors  # m, rad, m/s, rad/s


def test_agrees_with_pybullet_over_one_second_open_loop() -> None:
    """The difference is PyBullet's, of first order: it halves with PyBullet's time step."""
    cases = [tumbling(seed, QUADROTOR, 100) for seed in range(5)]
    found, errors = fly(QUADROTOR, cases, 100.0), []
    for rate in (1000.0, 2000.0):
        with Drone(QUADROTOR, physics_rate=rate, ground=False) as drone:
            errors.append(largest_differences(found, stack([fly_bullet(drone, *x) for x in cases])))
    coarse, fine = errors
    assert (fine < [0.02, 0.15, 0.05, 0.6]).all(), fine  # m, rad, m/s, rad/s
    np.testing.assert_allclose(coarse / fine, 2.0, rtol=0.2)


def fly_bullet(drone: Drone, state: State, rotors: Array, throttles: Array) -> State:
    drone.reset(state, rotors)
    for throttle in throttles:
        drone.step(throttle)
    return drone.state


def guide(state: State, rotors: Array) -> Array:
    return geometric_control(
        state, Reference(np.zeros(3)), rotors, quadrotor=QUADROTOR, gains=GuideGains()
    )


def test_agrees_with_pybullet_over_closed_loop_flights() -> None:
    """Two seconds of the guide from random starts: the paths stay within millimetres."""
    starts = [
        sample_start("standard", np.random.default_rng(x), target=np.zeros(3), quadrotor=QUADROTOR)
        for x in range(10)
    ]
    drones = DroneBatch(QUADROTOR, len(starts), crash_distance=FAR)
    drones.set_states(stack([x for x, _ in starts]), np.stack([x for _, x in starts]))
    paths = []
    for _ in range(200):
        drones.step(guide(drones.state, drones.rotors), auto_reset=False)
        paths.append(drones.state.position)
    distances = []
    with Drone(QUADROTOR, ground=False) as drone:
        for number, start in enumerate(starts):
            drone.reset(*start)
            for path in paths:
                drone.step(0.5 + 0.5 * guide(drone.state, drone.rotors))
                distances.append(np.linalg.norm(drone.state.position - path[number]))
    assert np.max(distances) < 0.03  # m, on the way
    assert np.mean(distances) < 0.004
    assert np.max(distances[199::200]) < 0.001  # at the end, 2 s later


def test_steady_lag_thrust_and_hover() -> None:
    drones = DroneBatch(QUADROTOR, 1, starts=("hover",))
    drones.set_states(
        stack([State.at_rest(np.zeros(3))]), np.full((1, 4), QUADROTOR.hover_throttle)
    )
    hover = np.full((1, 4), 2.0 * QUADROTOR.hover_throttle - 1.0)
    for _ in range(499):
        drones.step(hover)
    assert np.abs(drones.state.position).max() < 1e-9
    assert drones.rewards[0] == pytest.approx(1.0, abs=1e-12)


def disturbed(count: int) -> list[Disturbance]:
    rng = np.random.default_rng(0)
    return [
        draw_disturbance(ROBUST, rng, quadrotor=QUADROTOR, period=0.01, steps=50)
        for _ in range(count)
    ]


def test_disturbances_act_as_on_a_rigid_body() -> None:
    """Mass, inertia, thrust, lag, force and torque against RK4 on the disturbed airframe."""
    for disturbance in disturbed(3):
        drone, state = disturbance.quadrotor, State.at_rest(np.zeros(3))
        rotors = np.full(4, 0.5)
        throttles = np.random.default_rng(1).uniform(0.6, 0.7, (300, 4))
        drones = DroneBatch(QUADROTOR, 1, control_rate=1000.0, crash_distance=FAR)
        drones.set_states(stack([state]), rotors[None])
        drones.set_disturbances([replace(disturbance, delay=0.0, push=np.zeros(3))])
        for throttle in throttles:
            drones.step(action_from_throttle(throttle)[None], auto_reset=False)
        (expected,) = fly_rk4(
            state,
            rotors,
            throttles,
            quadrotor=drone,
            period=1e-3,
            steps=2,
            force=disturbance.force,
            torque=disturbance.torque,
        )[-1:]
        np.testing.assert_allclose(drones.state.position[0], expected.position, atol=1e-9)
        np.testing.assert_allclose(drones.state.rotation[0], expected.rotation, atol=1e-8)


def test_push_acts_in_its_steps_only() -> None:
    drones = DroneBatch(QUADROTOR, 1, crash_distance=FAR)
    drones.set_states(
        stack([State.at_rest(np.zeros(3))]), np.full((1, 4), QUADROTOR.hover_throttle)
    )
    push = np.array([0.0, 0.054, 0.0])  # N, 2 m/s^2
    drones.set_disturbances([replace(STILL, push=push, push_start=3, push_end=23)])
    hover, speeds = np.full((1, 4), 2.0 * QUADROTOR.hover_throttle - 1.0), []
    for _ in range(30):
        drones.step(hover, auto_reset=False)
        speeds.append(drones.state.velocity[0, 1])
    expected = 0.02 * np.clip(np.arange(1, 31) - 3, 0, 20)
    np.testing.assert_allclose(speeds, expected, atol=1e-12)


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.01, 0.017, 0.02])
def test_delay_postpones_commands(delay: float) -> None:
    """Commands come late by whole steps, and by a fraction as the mean of two."""
    quick = replace(QUADROTOR, motor_time_constant_up=0.0, motor_time_constant_down=0.0)
    drones = DroneBatch(quick, 1, crash_distance=FAR)
    drones.set_states(stack([State.at_rest(np.zeros(3))]), np.full((1, 4), 0.2))
    drones.set_disturbances([replace(STILL, quadrotor=quick, delay=delay)])
    commands, found = np.array([0.2, 0.2, 0.9, 0.5, 0.7, 0.1, 0.1, 0.1]), []
    for command in commands[2:]:
        drones.step(np.full((1, 4), 2.0 * command - 1.0), auto_reset=False)
        found.append(drones.rotors[0, 0])
    expected = np.interp(np.arange(2, 8) - delay / 0.01, np.arange(8), commands)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("count", [1, LANES, LANES + 1, 50])
def test_a_drone_flies_the_same_whatever_flies_beside_it(count: int) -> None:
    actions = np.random.default_rng(0).uniform(0.0, 0.6, (120, 50, 4))
    batches = [DroneBatch(QUADROTOR, n, disturbances=ROBUST, seed=4) for n in (count, 50)]
    for action in actions:
        for drones in batches:
            drones.step(action[: drones.count])
            assert drones.observations.shape == (drones.count, OBSERVATION_SIZE)
        small, large = batches
        np.testing.assert_array_equal(small.observations, large.observations[:count])
        np.testing.assert_array_equal(small.rewards, large.rewards[:count])


def test_seeds_and_drones_give_other_episodes() -> None:
    batches = [DroneBatch(QUADROTOR, 40, starts=("hard",), seed=seed) for seed in (0, 1, 0)]
    first, other, again = (drones.state.position for drones in batches)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate([first, other])[:, 0])) > 60  # a tenth is at the target


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "at least one drone"),
        ({"seed": -1}, "at least 0"),
        ({"starts": ("ground",)}, "no start 'ground' in a batch"),
        ({"disturbances": replace(ROBUST, max_delay=0.03)}, "at most 0.02 s"),
        ({"disturbances": replace(ROBUST, mass=np.nan)}, "finite"),
        ({"disturbances": replace(ROBUST, lag_low=0.0)}, "positive"),
    ],
)
def test_impossible_batches_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        DroneBatch(QUADROTOR, **{"count": 2, **arguments})


def test_actions_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"\(2, 4\)"):
        DroneBatch(QUADROTOR, 2).step(np.zeros((3, 4)))


def test_the_compiled_observation_is_the_defined_one() -> None:
    """On random states: far and near, slow and fast, in any attitude."""
    count, rng = 2000, np.random.default_rng(5)
    drones = DroneBatch(QUADROTOR, count, crash_distance=FAR)
    quaternions = rng.normal(size=(count, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1)[:, None]
    position, velocity, rates = (
        rng.normal(size=(count, 3)) * 10.0 ** rng.uniform(-3.0, 1.0, (count, 1)) for _ in range(3)
    )
    reference = Reference(rng.normal(size=(count, 3)), rng.normal(size=(count, 3)))
    state = State(reference.position + position, quaternions, velocity, rates)
    drones.set_states(state, np.zeros((count, 4)))
    drones.set_references(reference)
    expected = OBSERVATIONS[OBSERVATION_VERSION].observe(state, reference)
    np.testing.assert_allclose(drones.observations, expected, rtol=2e-7, atol=2e-7)


def test_the_parts_of_the_reward_are_the_defined_ones() -> None:
    drones = DroneBatch(QUADROTOR, 300, starts=("hard",), disturbances=ROBUST, seed=4)
    np.testing.assert_array_equal(drones.reward_parts, 0.0)  # nothing was flown
    rng = np.random.default_rng(0)
    reference = Reference(rng.normal(size=(300, 3)) * 0.1, rng.normal(size=(300, 3)) * 0.1)
    drones.set_references(reference)
    hover = QUADROTOR.hover_throttle
    for coefficients in (START_COEFFICIENTS, END_COEFFICIENTS):
        drones.set_coefficients(coefficients)
        for _ in range(20):
            drones.step(rng.normal(size=(300, 4)) * 0.3, auto_reset=False)
            parts = reward_parts(drones.state, reference, drones.throttles, hover_throttle=hover)
            np.testing.assert_allclose(drones.reward_parts, parts, rtol=2e-7, atol=1e-10)
            rewards = parts @ coefficients.as_array()
            np.testing.assert_allclose(drones.rewards, rewards, rtol=1e-9, atol=1e-9)
    drones.step(np.full((300, 4), np.nan), auto_reset=False)
    np.testing.assert_array_equal(drones.reward_parts, 0.0)


@pytest.mark.parametrize("fault", ["no place", "full", "damaged"])
def test_compiles_without_a_cache(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numba finds no folder for it, the disk is full, or a kept file is cut short."""

    def fail(*_: object, **__: object) -> None:
        raise {"full": OSError(28, "No space left on device"), "damaged": EOFError()}[fault]

    if fault == "no place":
        monkeypatch.setattr(CompileResultCacheImpl, "_locator_classes", [])
    else:
        monkeypatch.setattr(IndexDataCacheFile, "save" if fault == "full" else "load", fail)

    def twice(value: float) -> float:
        return 2.0 * value

    assert compile_kept(twice)(3.5) == 7.0


def test_kept_machine_code_follows_every_source_file() -> None:
    """Numba looks at the file of a cached function only, so each carries all files' checksum."""
    modules = [vars(import_module(f"snn_sim.batched.{x.stem}")) for x in SIM.glob("*.py")]
    functions = {id(x): x for module in modules for x in module.values() if is_jitted(x)}
    kept = [x for x in functions.values() if type(x._cache).__name__ != "NullCache"]
    assert {x.py_func.__name__ for x in kept} == {"step_blocks", "observe_blocks", "reset_drones"}
    assert all("fingerprint" in x.py_func.__code__.co_freevars for x in kept)
