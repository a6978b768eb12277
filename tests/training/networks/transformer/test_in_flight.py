"""The decision transformer in flight: target, return-to-go, plasticity."""

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
    BEGUN,
    ERROR,
    HORIZON,
    Conditioning,
    FlyingTransformer,
    mean_returns_to_go,
    next_error,
    reward_of,
    roll_pitch_yaw,
)
from snn_training.neurons.plasticity import ELIGIBILITY, MEAN, PLASTIC, PlasticityConfig
from support.transformer_samples import tokens, transformer

LIMITS = Conditioning(target=450.0, low=100.0, high=490.0, hover_throttle=0.6)


def fly(flying: FlyingTransformer, ticks: int, target: float = 450.0):
    """Return actions and the states after each tick of a made-up flight."""
    states, action = flying.initial_states(1), torch.zeros(1, 4)
    actions, history = [], []
    with torch.no_grad():
        for observation in tokens(ticks, 1)[0]:
            action, states, _ = flying(observation, action, torch.full((1, 1), target), states)
            actions.append(action[0])
            history.append(states)
    return torch.stack(actions), history


@pytest.mark.parametrize("kind", ["spiking", "dense"])
def test_the_first_tick_sees_the_target_itself(kind: str) -> None:
    """Not the rewards of the past, and not one step late."""
    network = transformer(kind=kind)
    flying = FlyingTransformer(network, LIMITS)
    observation = tokens(1, 1)[0][0]
    zeros = torch.zeros(1, 4)
    for target in (300.0, 450.0):
        with torch.no_grad():
            states = flying.initial_states(1)
            action, after, _ = flying(observation, zeros, torch.full((1, 1), target), states)
            returns = torch.full((1, 1, 1), target / HORIZON)
            expected = network(observation[None], zeros[None], returns, network.initial_states(1))
        torch.testing.assert_close(action, expected[0][0], atol=1e-5, rtol=0.0)
        assert after[ERROR].item() == 0.0
        assert after[BEGUN].item() == 1.0


def test_the_reward_of_a_tick_is_taken_off_what_is_asked_in_the_next() -> None:
    flying = FlyingTransformer(transformer(), LIMITS)
    actions, history = fly(flying, 3)
    observations, error = tokens(3, 1)[0], 0.0
    for tick in (1, 2):
        last = actions[tick - 1][None]
        reward = reward_of(observations[tick], last, END_COEFFICIENTS, LIMITS.hover_throttle)
        error = (1.0 - 1.0 / HORIZON) * error + (450.0 / HORIZON - reward.item()) / HORIZON
        assert history[tick][ERROR].item() == pytest.approx(error, abs=1e-6)


def test_a_target_outside_the_data_is_moved_in() -> None:
    flying = FlyingTransformer(transformer(), LIMITS)
    assert torch.equal(fly(flying, 5, 9999.0)[0], fly(flying, 5, 490.0)[0])
    assert torch.equal(fly(flying, 5, -9999.0)[0], fly(flying, 5, 100.0)[0])
    assert not torch.equal(fly(flying, 5, 490.0)[0], fly(flying, 5, 100.0)[0])


def test_it_takes_a_copy_that_training_does_not_move() -> None:
    network = transformer()
    flying = FlyingTransformer(network, LIMITS)
    before, _ = fly(flying, 4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert torch.equal(fly(flying, 4)[0], before)


def test_plasticity_is_off_by_default_and_costs_no_state() -> None:
    states = FlyingTransformer(transformer(), LIMITS).initial_states(1)
    assert not {ELIGIBILITY, PLASTIC, MEAN} & set(states)


def test_plasticity_changes_actions_within_its_bound_and_a_reset_forgets_it() -> None:
    network = transformer()
    rule = PlasticityConfig(enabled=True, rate=0.5, bound=0.01)
    plastic, plain = FlyingTransformer(network, LIMITS, rule), FlyingTransformer(network, LIMITS)
    actions, history = fly(plastic, 60)
    assert not torch.equal(actions, fly(plain, 60)[0])
    assert history[0][PLASTIC].abs().max().item() == 0.0  # no reward came before the first tick
    largest = max(states[PLASTIC].abs().max().item() for states in history)
    assert largest == pytest.approx(0.01)
    assert torch.equal(fly(plastic, 60)[0], actions)  # from reset states, the same again
    assert all(torch.equal(a, b) for a, b in zip(*map(parameters, (network, plastic)), strict=True))


def test_without_a_rate_the_rule_does_nothing() -> None:
    network, rule = transformer(), PlasticityConfig(enabled=True, rate=0.0)
    still, plain = FlyingTransformer(network, LIMITS, rule), FlyingTransformer(network, LIMITS)
    torch.testing.assert_close(fly(still, 30)[0], fly(plain, 30)[0])


def test_a_cloned_policy_keeps_no_returns() -> None:
    flying = FlyingTransformer(transformer(conditioned=False), LIMITS)
    assert ERROR not in flying.initial_states(1)
    assert torch.equal(fly(flying, 5, 100.0)[0], fly(flying, 5, 490.0)[0])


def parameters(module: torch.nn.Module) -> list[torch.Tensor]:
    return list(module.parameters())


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
