"""The three-factor rule: what it rewards, what it leaves alone, and its bounds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snn_training.neurons.plasticity import (
    ELIGIBILITY,
    PLASTIC,
    PlasticityConfig,
    empty,
    learn,
    remember,
)

RULE = PlasticityConfig(enabled=True, rate=0.01, bound=0.05)
FEATURES = torch.linspace(-1.0, 1.0, 6)[None]
ACTION = torch.tensor([[0.2, -0.3, 0.5, 0.1]])


def live(rewards: list[float], rule: PlasticityConfig = RULE) -> list[dict[str, Tensor]]:
    """Return the states after each tick of a flight that always does the same."""
    states, history = empty(6, 4, batch=1), []
    for tick, reward in enumerate(rewards):
        begun = torch.full((1, 1), float(tick > 0))
        states |= learn(states, torch.full((1, 1), reward), begun, rule)
        states |= {ELIGIBILITY: remember(states, FEATURES, ACTION, rule)}
        history.append(states)
        states = dict(states)
    return history


@pytest.mark.parametrize("reward", [0.9, -3.0])
def test_a_reward_that_never_changes_teaches_nothing(reward: float) -> None:
    """Also from the first on: a mean that rose from zero would praise the whole first second."""
    assert live([reward] * 50)[-1][PLASTIC].abs().max().item() < 1e-5


def test_the_first_tick_has_no_reward() -> None:
    states = live([100.0, 1.0, 1.0])[-1]
    assert states[PLASTIC].abs().max().item() == 0.0


@pytest.mark.parametrize("change", [0.5, -0.5])
def test_more_than_usual_strengthens_what_was_done_and_less_weakens_it(change: float) -> None:
    weights = live([0.0, *[1.0] * 20, 1.0 + change])[-1][PLASTIC][0]
    done = torch.tanh(FEATURES[0])[:, None] * ACTION
    assert torch.equal(torch.sign(weights), torch.sign(change * done))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(0.0, 1.0))
def test_weights_stay_in_their_bound_whatever_the_rewards(
    rewards: list[float], bound: float
) -> None:
    rule = PlasticityConfig(enabled=True, rate=1.0, bound=bound)
    largest = max(states[PLASTIC].abs().max().item() for states in live(rewards, rule))
    assert largest <= bound * (1.0 + 1e-6)
