"""Collecting on the twin: every tick is stored, ends are told apart, histories are as flown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_controller.vehicle.action import action_from_throttle, throttle_from_action
from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.state import Reference
from snn_sim.batched.batch import DroneBatch
from snn_sim.task.action_history import HISTORY_SIZE
from snn_sim.task.episode import CRASH_DISTANCE, EPISODE_STEPS
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS, hover_reward
from snn_training.data.replay import Replay
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import Network, make_network
from snn_training.rollouts.actors import Memoryless, NetworkActor, Senses
from snn_training.rollouts.collector import Collector, validate, validate_network


def collector(
    quadrotor: Quadrotor, count: int, start: str = "standard", blank_share: float = 0.0
) -> Collector:
    drones = DroneBatch(quadrotor, count, starts=(start,), seed=4)
    return Collector(drones, blank_share=blank_share, rng=np.random.default_rng(0))


def hover(quadrotor: Quadrotor, count: int) -> np.ndarray:
    return np.full((count, 4), 2.0 * quadrotor.hover_throttle - 1.0, np.float32)


def test_transitions_stored_are_transitions_flown_clean_flights_too(quadrotor: Quadrotor) -> None:
    fliers, replay = collector(quadrotor, 2, "hover"), Replay(2, 2000)
    for _ in range(EPISODE_STEPS):
        last = fliers.step(hover(quadrotor, 2))
        replay.add(last)
    assert len(replay) == 2 * EPISODE_STEPS
    assert last.truncated.all()
    assert not last.terminated.any()
    np.testing.assert_array_equal(last.steps, EPISODE_STEPS - 1)
    np.testing.assert_allclose(last.next_observations, last.observations, atol=1e-6)  # hovers on
    np.testing.assert_array_equal(fliers.drones.steps, 0)
    assert (np.abs(fliers.drones.observations - last.next_observations).max(axis=1) > 1e-3).all()


def test_a_crash_is_terminal_and_its_last_state_is_its_own(quadrotor: Quadrotor) -> None:
    fliers = collector(quadrotor, 30)
    crashes, steps = 0, np.zeros(30, np.int32)
    for _ in range(120):
        flown = fliers.step(-np.ones((30, 4), np.float32))
        np.testing.assert_array_equal(flown.steps, steps)
        lost = np.abs(flown.next_observations[flown.terminated, :3]).max(axis=1)
        np.testing.assert_allclose(lost, CRASH_DISTANCE, rtol=1e-6)
        assert not (flown.terminated & flown.truncated).any()
        steps = np.where(flown.terminated | flown.truncated, 0, steps + 1)
        crashes += int(flown.terminated.sum())
    assert crashes > 30


def test_reward_parts_give_the_reward_of_any_coefficients(quadrotor: Quadrotor) -> None:
    fliers = collector(quadrotor, 50, "hard")
    replay, rewards = Replay(50, 5000), {START_COEFFICIENTS: [], END_COEFFICIENTS: []}
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.uniform(-1, 1, (50, 4)).astype(np.float32)
        twin = DroneBatch(quadrotor, 50, starts=("hard",))
        twin.set_states(fliers.drones.state, fliers.drones.rotors)
        twin.step(actions, auto_reset=False)
        replay.add(fliers.step(actions))
        for coefficients, kept in rewards.items():
            kept.append(
                hover_reward(
                    twin.state,
                    Reference(np.zeros(3)),
                    throttle_from_action(actions),
                    hover_throttle=quadrotor.hover_throttle,
                    coefficients=coefficients,
                )
            )
    stored = replay.snapshot()["arrays"]["observations"].reshape(-1, 18)
    for coefficients, expected in rewards.items():  # the same replay, before and after a step
        batch = replay.sample(500, coefficients, np.random.default_rng(1))
        where = [int(np.flatnonzero((stored == x[:18]).all(axis=1))[0]) for x in batch.inputs]
        np.testing.assert_allclose(batch.rewards, np.ravel(expected)[where], atol=2e-5)


def test_stored_states_do_not_change_when_the_simulator_steps(quadrotor: Quadrotor) -> None:
    fliers = collector(quadrotor, 5)
    first = fliers.step(hover(quadrotor, 5))
    kept = [x.copy() for x in first]
    for _ in range(20):
        fliers.step(-np.ones((5, 4), np.float32))
    for array, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, copy)
        for own in fliers.drones._arrays:
            assert not np.shares_memory(array, own)


@pytest.mark.parametrize("blank_share", [0.0, 1.0])
def test_histories_begin_with_the_rotors_or_with_zeros(
    quadrotor: Quadrotor, blank_share: float
) -> None:
    fliers = collector(quadrotor, 8, "hard", blank_share)
    rotors = np.tile(action_from_throttle(fliers.drones.rotors), (1, 32))
    expected = rotors if blank_share == 0.0 else np.zeros_like(rotors)
    np.testing.assert_allclose(fliers.histories, expected, atol=1e-6)
    actions = hover(quadrotor, 8)
    fliers.step(actions)
    np.testing.assert_array_equal(fliers.histories[:, -4:], actions)
    np.testing.assert_allclose(fliers.histories[:, :-4], expected[:, 4:], atol=1e-6)


def test_a_restored_collector_flies_on_identically(quadrotor: Quadrotor) -> None:
    fliers, other = collector(quadrotor, 6), collector(quadrotor, 6)
    other.step(hover(quadrotor, 6))
    for _ in range(40):
        fliers.step(-np.ones((6, 4), np.float32))
    other.restore(fliers.snapshot())
    other.rng.bit_generator.state = fliers.rng.bit_generator.state
    for _ in range(60):
        one, two = (x.step(-np.ones((6, 4), np.float32)) for x in (fliers, other))
        for array, same in zip(one, two, strict=True):
            np.testing.assert_array_equal(array, same)


class Fixed(Memoryless):
    """Commands one action always and remembers what it saw."""

    def __init__(self, action: np.ndarray) -> None:
        self.action, self.seen = action, []

    def act(self, senses: Senses) -> np.ndarray:
        self.seen.append((senses.observations.copy(), senses.histories.copy()))
        return self.action


def test_validation_scores_whole_episodes(quadrotor: Quadrotor) -> None:
    still = Fixed(hover(quadrotor, 4))
    scores = validate(DroneBatch(quadrotor, 4, starts=("hover",), seed=1), still)
    assert len(still.seen) == EPISODE_STEPS
    observations, histories = still.seen[0]
    np.testing.assert_array_equal(histories, np.zeros((4, HISTORY_SIZE)))
    offsets = np.square(observations[:, :3]).sum(axis=1).mean()
    assert scores["survival"] == 1.0
    assert scores["return_start"] == pytest.approx(500.0 * (1.0 - offsets), rel=1e-3)
    assert scores["return_end"] == pytest.approx(500.0 * (1.0 - 3.5 * offsets), rel=1e-3)
    assert scores["steady_xy_m"] > 0.01  # where the episodes ended, not where the next begin
    falling = Fixed(-np.ones((4, 4), np.float32))
    fallen = validate(DroneBatch(quadrotor, 4, starts=("easy",)), falling)
    assert fallen["survival"] == 0.0
    assert np.isnan(fallen["steady_xy_m"])
    assert 10 < fallen["return_start"] < 60


def small_network(**options: float) -> Network:
    config = NetworkConfig(hidden=(8, 4), **options)  # type: ignore[arg-type]
    return make_network(config, generator=torch.Generator().manual_seed(0))


def test_a_network_remembers_until_it_is_reset(quadrotor: Quadrotor) -> None:
    senses, actor = collector(quadrotor, 3, "hard"), NetworkActor(small_network(), 3)
    first = [actor.act(senses).copy() for _ in range(20)]
    assert any(not np.array_equal(x, first[0]) for x in first)
    actor.reset(np.array([False, True, False]))
    again = actor.act(senses)
    np.testing.assert_array_equal(again[1], first[0][1])
    actor.reset()
    np.testing.assert_array_equal(first, [actor.act(senses).copy() for _ in range(20)])


def test_networks_are_validated_on_the_same_starts(quadrotor: Quadrotor) -> None:
    one, same = (validate_network(small_network(), quadrotor, seed=1) for _ in range(2))
    assert one == same
    assert one != validate_network(small_network(), quadrotor, seed=2)
    assert 0.0 <= one["survival"] <= 1.0
    assert one["return_end"] <= one["return_start"] + 1e-9


@pytest.mark.parametrize("rate", [50.0, 500.0])
def test_other_control_rates_have_no_scores(quadrotor: Quadrotor, rate: float) -> None:
    assert validate_network(small_network(control_rate=rate), quadrotor, seed=1) == {}
