"""The price of spikes: what a layer fires beyond a target rate costs in the loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snn_training.common import Rules


def sparsity_loss(spikes: Sequence[Tensor], target_rate: float) -> Tensor:
    """Return the mean over layers of the squared excess of their rates.

    Surrogate gradients flow through the spikes.

    Args:
        spikes: Of each layer (ticks, batch, neurons); without any the loss is zero.
        target_rate: Share of neurons that may spike in a tick without cost.
    """
    if not spikes:
        return torch.zeros(())
    rates = torch.stack([layer.mean() for layer in spikes])
    return (rates - target_rate).clamp(min=0.0).square().mean()


def sparsity_rules(weight: float, target_rate: float, prefix: str = "") -> Rules:
    """Return the rules of the two options, whose names begin with a prefix."""
    return {
        f"{prefix}sparsity": (0.0 <= weight <= 10_000.0, "0 to 10000"),
        f"{prefix}target-rate": (0.0 <= target_rate <= 1.0, "0 to 1"),
    }
