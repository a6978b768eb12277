"""Every policy network there is, spiking or baseline: made by configuration, ticked in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from snn_training.networks.baselines import GatedRecurrence, HistoryPerceptron, Perceptron
from snn_training.networks.config import NetworkConfig
from snn_training.networks.spiking import SpikingPolicy
from snn_training.neurons import PolicyWeights, numpy_step, policy_step

__all__ = [
    "Network",
    "NetworkConfig",
    "SpikingPolicy",
    "make_network",
    "numpy_step",
    "numpy_stepper",
    "numpy_weights",
    "policy_step",
]

Network = SpikingPolicy | GatedRecurrence | HistoryPerceptron | Perceptron
BASELINES = {"gru": GatedRecurrence, "mlp": Perceptron, "mlp_history": HistoryPerceptron}


def make_network(config: NetworkConfig, *, generator: torch.Generator | None = None) -> Network:
    """Return the network of the configured kind, its weights drawn from a generator."""
    if config.kind == "spiking":
        return SpikingPolicy(config, generator=generator)
    return BASELINES[config.kind](config, generator)


def numpy_weights(policy: SpikingPolicy) -> PolicyWeights:
    """Return the policy's arrays as float32 NumPy, for the reference and for roll-outs."""
    return policy.policy_weights().convert(lambda x: x.detach().cpu().numpy().astype(np.float32))


def numpy_stepper(policy: Network) -> Callable:
    """Return the tick in NumPy with today's weights, for roll-outs without gradients."""
    if isinstance(policy, SpikingPolicy):
        return partial(numpy_step, numpy_weights(policy))
    step = policy.stepper()

    def tick(observation: NDArray[np.float32], states: tuple) -> tuple:
        with torch.no_grad():
            action, following, _ = step(
                torch.from_numpy(observation), tuple(map(torch.from_numpy, states))
            )
        return action.numpy(), tuple(x.numpy() for x in following), ()

    return tick
