"""The decision transformer in flight: target, return-to-go, plasticity."""

from __future__ import annotations

import pytest
import torch

from snn_sim.task.reward import END_COEFFICIENTS
from snn_training.networks.transformer.in_flight import (
    BEGUN,
    ERROR,
    HORIZON,
    Conditioning,
    FlyingTransformer,
    reward_of,
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
