"""Small decision transformers and flights for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_training.artifacts.file import flight_like_observations
from snn_training.networks.config import TransformerConfig
from snn_training.networks.transformer.model import DecisionTransformer

Tokens = tuple[Tensor, Tensor, Tensor]
SMALL = {"width": 32, "heads": 4, "hidden": 48, "window": 6}


def tokens(ticks: int, batch: int = 2, seed: int = 0) -> Tokens:
    """Return observations, last actions and returns-to-go (ticks, batch, ...)."""
    rng = np.random.default_rng(seed)
    flights = [flight_like_observations(ticks, rng) for _ in range(batch)]
    actions = rng.uniform(-0.5, 0.5, (ticks, batch, 4))
    returns = rng.uniform(0.3, 1.0, (ticks, batch, 1))
    arrays = np.stack(flights, axis=1), actions, returns
    first, second, third = (torch.from_numpy(x).float() for x in arrays)
    return first, second, third


def transformer(seed: int = 0, **options: Any) -> DecisionTransformer:
    """Return an untrained small network whose thresholds are set by data."""
    generator = torch.Generator().manual_seed(seed)
    config = TransformerConfig(**{**SMALL, **options})
    network = DecisionTransformer(config, generator=generator)
    if config.kind == "spiking":
        network.set_thresholds(*tokens(60, 8), rate=0.1)
    return network
