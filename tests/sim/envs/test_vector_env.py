"""The batched twin's environment step: observation, reward, ends, starts, disturbances, noise."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from numba import njit

from snn_controller.errors import UserError
from snn_controller.vehicle.action import throttle_from_action
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.observation import OBSERVATION_SIZE, POSITION_ERROR, observe
from snn_controller.vehicle.state import Reference, State
from snn_sim.batched import layout
from snn_sim.batched.batch import DroneBatch
from snn_sim.batched.scalar_math import angle_between_axes
from snn_sim.envs.env import observation_space
from snn_sim.envs.vector_env import DroneVectorEnv
from snn_sim.task.disturbances import NOISY, NOMINAL, ROBUST, draw_disturbance
from snn_sim.task.episode import CRASH_DISTANCE, EPISODE_STEPS, sample_start
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS, hover_reward

QUADROTOR = load_quadrotor("crazyflie21")
HOVER = np.float32(2.0 * QUADROTOR.hover_throttle - 1.0)


def random_states(count: int) -> State:
    """Return states with any attitude, some of them outside the box and beyond the clips."""
    rng = np.random.default_rng(0)
    quaternion = rng.normal(size=(count, 4))
    return State(
        position=rng.uniform(-0.7, 0.7, (count, 3)),
        quaternion=quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True),
        velocity=rng.uniform(-3.0, 3.0, (count, 3)),
        body_rates=rng.uniform(-20.0, 20.0, (count, 3)),
    )


def distribution_distance(one: Array, other: Array) -> float:
    """Return the Kolmogorov-Smirnov distance in units of its 0.1 % point."""
    both = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(x), both, side="right") / len(x) for x in (one, other)]
    limit = 1.95 * np.sqrt((len(one) + len(other)) / (len(one) * len(other)))
    return float(np.abs(shares[0] - shares[1]).max() / limit)


def test_observation_is_the_one_of_flight() -> None:
    state = random_states(200)
    reference = Reference(np.array([0.1, -0.2, 0.3]), np.array([0.5, 0.0, -0.5]))
    drones = DroneBatch(QUADROTOR, 200)
    drones.set_states(state, np.full((200, 4), 0.5))
    drones.set_references(reference)
    np.testing.assert_allclose(drones.observations, observe(state, reference), atol=3e-7)
    drones.step(np.zeros((200, 4)), auto_reset=False)
    np.testing.assert_allclose(
        drones.observations, observe(drones.state, reference), rtol=1e-6, atol=3e-7
    )


@pytest.mark.parametrize("coefficients", [START_COEFFICIENTS, END_COEFFICIENTS])
def test_reward_and_crash_are_those_of_the_rules(coefficients) -> None:
    drones, reference = DroneBatch(QUADROTOR, 500), Reference(np.full(3, 0.05), np.full(3, 0.1))
    drones.set_coefficients(coefficients)
    drones.set_references(reference)
    drones.set_states(random_states(500), np.full((500, 4), 0.5))
    actions = np.random.default_rng(1).uniform(-1.5, 1.5, (500, 4))
    drones.step(actions, auto_reset=False)
    expected = hover_reward(
        drones.state,
        reference,
        throttle_from_action(actions),
        hover_throttle=QUADROTOR.hover_throttle,
        coefficients=coefficients,
    )
    np.testing.assert_allclose(drones.rewards, expected, rtol=1e-10, atol=1e-10)
    outside = (np.abs(drones.state.position - reference.position) > CRASH_DISTANCE).any(axis=1)
    assert 50 < outside.sum() < 450
    np.testing.assert_array_equal(drones.terminated, outside)


def test_angles_without_branches_are_those_of_numpy() -> None:
    vectorised = njit(lambda y, x: angle_between_axes(y, x))
    y, x = np.random.default_rng(0).normal(size=(2, 5000)) * 10.0 ** np.linspace(-8, 2, 5000)
    y[:4], x[:4] = [0.0, 0.0, 1.0, -1.0], [1.0, -1.0, 0.0, 0.0]
    found = [vectorised(a, b) for a, b in zip(y, x, strict=True)]
    np.testing.assert_allclose(found, np.abs(np.arctan2(y, x)), rtol=1e-11, atol=1e-12)


def test_action_that_is_not_a_number_crashes_its_drone_only() -> None:
    drones = DroneBatch(QUADROTOR, 3, starts=("easy",))
    actions = np.full((3, 4), HOVER)
    actions[1, 2] = np.nan
    drones.step(actions, auto_reset=False)
    np.testing.assert_array_equal(drones.terminated, [False, True, False])
    assert drones.rewards[1] == 0.0
    drones.reset()
    assert np.isfinite(drones.observations).all()


def test_episode_is_truncated_at_the_cap_and_begins_anew() -> None:
    drones = DroneBatch(QUADROTOR, 2, starts=("hover",), seed=3)
    for step in range(EPISODE_STEPS):
        assert not drones.truncated.any(), step
        before = drones.observations.copy()
        drones.step(np.full((2, 4), HOVER))
    assert drones.truncated.all()
    assert not drones.terminated.any()
    np.testing.assert_allclose(drones.final_observations, before, atol=1e-6)
    assert (np.abs(drones.observations - before).max(axis=1) > 1e-3).all()
    np.testing.assert_array_equal(drones.steps, 0)
    drones.step(np.full((2, 4), HOVER))
    assert not drones.truncated.any()


def test_a_crash_ends_the_episode_and_shows_where() -> None:
    drones = DroneBatch(QUADROTOR, 20, starts=("easy",))
    while not drones.terminated.any():
        drones.step(-np.ones((20, 4)))
    assert (drones.final_observations[:, 2] == np.float32(-CRASH_DISTANCE)).all()
    assert (drones.observations[:, POSITION_ERROR] == 0.0).all()


@pytest.mark.parametrize("name", ["easy", "standard", "hard", "hover"])
def test_starts_are_distributed_as_in_the_fixed_test(name: str) -> None:
    count, rng = 3000, np.random.default_rng(0)
    drones = DroneBatch(QUADROTOR, count, starts=(name,), seed=1)
    starts = [
        sample_start(name, rng, target=np.zeros(3), quadrotor=QUADROTOR) for _ in range(count)
    ]
    for field in ("position", "quaternion", "velocity", "body_rates"):
        found = getattr(drones.state, field)
        expected = np.array([getattr(state, field) for state, _ in starts])
        for one, other in zip(found.T, expected.T, strict=True):
            assert distribution_distance(one, other) < 1.0, field
    rotors = np.array([x for _, x in starts])
    assert distribution_distance(drones.rotors.ravel(), rotors.ravel()) < 1.0


def test_several_starts_are_drawn_with_equal_chance() -> None:
    drones = DroneBatch(QUADROTOR, 4000, starts=("easy", "hover"))
    assert (drones.state.position[:, 0] == 0.0).mean() == pytest.approx(0.5, abs=0.03)


def test_disturbances_are_distributed_as_in_the_fixed_test() -> None:
    count, rng = 2000, np.random.default_rng(0)
    drawn, drawn_again = (
        DroneBatch(QUADROTOR, count, disturbances=ROBUST),
        DroneBatch(QUADROTOR, count),
    )
    drawn_again.set_disturbances(
        [
            draw_disturbance(ROBUST, rng, quadrotor=QUADROTOR, period=0.01, steps=EPISODE_STEPS)
            for _ in range(count)
        ]
    )
    rows = [x._read(layout.MASS, layout.STEPS).T for x in (drawn, drawn_again)]
    for row, (one, other) in enumerate(zip(*rows, strict=True)):
        assert distribution_distance(one, other) < 1.1, row
    mass = rows[0][0] / QUADROTOR.mass
    assert 0.8 <= mass.min() < 0.81 < 1.19 < mass.max() <= 1.2


def test_nominal_drones_are_nominal() -> None:
    drones = DroneBatch(QUADROTOR, 5, disturbances=NOMINAL)
    still = draw_disturbance(
        NOMINAL, np.random.default_rng(0), quadrotor=QUADROTOR, period=0.01, steps=500
    )
    found = drones._read(layout.MASS, layout.PUSH_START)
    drones.set_disturbances([still] * 5)
    np.testing.assert_allclose(found, drones._read(layout.MASS, layout.PUSH_START), rtol=1e-12)


def test_noise_has_its_size_on_every_number() -> None:
    drones = DroneBatch(QUADROTOR, 4000, starts=("easy",), disturbances=NOISY)
    drones.step(np.full((4000, 4), HOVER))
    observation = drones.observations.astype(np.float64)
    truth = observe(drones.state, Reference(np.zeros(3)))
    deviation = (observation - truth).std(axis=0)
    np.testing.assert_allclose(deviation, NOISY.noise, rtol=0.06)
    correlation = np.corrcoef((observation - truth).T) - np.eye(OBSERVATION_SIZE)
    assert np.abs(correlation).max() < 0.07
    np.testing.assert_allclose(
        (observation - truth).mean(axis=0), 0.0, atol=4.5 * NOISY.noise.max() / 4000**0.5
    )


def test_noisy_positions_are_clipped_as_a_sensor_reads_them() -> None:
    drones = DroneBatch(
        QUADROTOR, 100, starts=("hard",), disturbances=replace(NOISY, position_noise=1.0)
    )
    assert np.abs(drones.observations[:, POSITION_ERROR]).max() == np.float32(0.6)


def test_vector_environment_follows_gymnasium() -> None:
    environment = gymnasium.make_vec(
        "snn_sim.envs.env:snn_controller/Drone-v0",
        num_envs=12,
        vectorization_mode="vector_entry_point",
    )
    assert isinstance(environment, DroneVectorEnv)
    observation, _ = environment.reset(seed=5)
    assert environment.observation_space.contains(observation)
    assert environment.single_observation_space == observation_space()
    rewards = []
    for _ in range(80):
        actions = -np.ones(environment.action_space.shape, np.float32)
        following, reward, terminated, truncated, info = environment.step(actions)
        assert following.shape == (12, OBSERVATION_SIZE)
        assert following.dtype == np.float32
        assert not np.shares_memory(following, environment.drones.observations)
        if terminated.any():
            np.testing.assert_array_equal(info["_final_obs"], terminated | truncated)
            lost = np.abs(info["final_obs"][terminated, :3]).max(axis=1)
            np.testing.assert_allclose(lost, CRASH_DISTANCE)
        rewards.append(reward)
    assert np.isfinite(rewards).all()
    again, _ = environment.reset(seed=5)
    np.testing.assert_array_equal(again, observation)
    other, _ = environment.reset()
    assert not np.array_equal(other, observation)


def test_without_a_seed_episodes_differ_from_run_to_run() -> None:
    first, second = (DroneVectorEnv(3).reset()[0] for _ in range(2))
    assert not np.array_equal(first, second)


def test_a_list_of_seeds_is_refused() -> None:
    with pytest.raises(UserError, match="one seed"):
        DroneVectorEnv(2).reset(seed=[1, 2])
