"""Three-factor plasticity of the read-out in flight: reward says whether what just fired was good.

    E' = lambda E + x y^T,   D = clip(r - mean r, -1, 1),   W' = clip(W + eta D E', -bound, bound)

x is what the read-out reads, squashed, y the action that it gave, E the trace of both. W is added
to the learnt weights and is a state: zero after a reset, bounded, never stored. The mean is right
from the first reward on; were it to rise from zero, all would count as good in the first second.
Off by default, and never on in training, where it would fight the optimiser.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from snn_training.common import bounded

ELIGIBILITY, PLASTIC = "eligibility", "plastic_weight"
MEAN, HEARD = "reward_mean", "reward_weight"  # sums of rewards and of their weights


@dataclass(frozen=True)
class PlasticityConfig:
    """Constants of the rule."""

    enabled: bool = False
    """Let the read-out learn in flight."""
    rate: float = bounded(1e-5, 0, 1)
    """Step size eta."""
    trace: float = bounded(0.95, 0, below=1)
    """Decay lambda of the trace a tick."""
    mean: float = bounded(0.99, 0, below=1)
    """Decay of the running mean of the reward a tick."""
    bound: float = bounded(0.002, 0, 1)
    """Largest change of a weight."""


def empty(width: int, actions: int, batch: int) -> dict[str, Tensor]:
    """Return trace, weights and the sums of the mean after a reset."""
    return {
        ELIGIBILITY: torch.zeros(batch, width, actions),
        PLASTIC: torch.zeros(batch, width, actions),
        MEAN: torch.zeros(batch, 1),
        HEARD: torch.zeros(batch, 1),
    }


def learn(
    states: dict[str, Tensor], reward: Tensor, begun: Tensor, config: PlasticityConfig
) -> dict[str, Tensor]:
    """Return weights (batch, width, actions) and the sums of the mean (batch, 1) after a reward.

    Args:
        states: As `empty` gives them, of the tick that the reward is for.
        reward: (batch, 1).
        begun: 0 in the first tick (batch, 1), which no reward precedes, else 1.
        config: Constants.
    """
    heard = states[HEARD]
    mean = torch.where(heard > 0.0, states[MEAN] / heard.clamp(min=1.0 - config.mean), reward)
    factor = (reward - mean).clamp(-1.0, 1.0) * begun
    change = config.rate * factor[..., None] * states[ELIGIBILITY]
    weights = (states[PLASTIC] + change).clamp(-config.bound, config.bound)
    return {
        PLASTIC: weights,
        MEAN: begun * (config.mean * states[MEAN] + (1.0 - config.mean) * reward),
        HEARD: begun * (config.mean * heard + (1.0 - config.mean)),
    }


def remember(
    states: dict[str, Tensor], features: Tensor, action: Tensor, config: PlasticityConfig
) -> Tensor:
    """Return the trace after a tick with features (batch, width) and an action (batch, 4)."""
    pairs = torch.tanh(features)[..., None] * action[..., None, :]
    return config.trace * states[ELIGIBILITY] + pairs
