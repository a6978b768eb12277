"""Every policy network there is: made by configuration, ticked in NumPy, run along flights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_training.networks.baselines import GatedRecurrence, HistoryPerceptron, Perceptron
from snn_training.networks.config import NetworkConfig
from snn_training.networks.spiking import PolicyWeights, SpikingPolicy

Network = SpikingPolicy | GatedRecurrence | HistoryPerceptron | Perceptron
BASELINES = {"gru": GatedRecurrence, "mlp": Perceptron, "mlp_history": HistoryPerceptron}


def make_network(config: NetworkConfig, *, generator: torch.Generator | None = None) -> Network:
    """Return the network of the configured kind, its weights drawn from a generator."""
    if config.kind in BASELINES:
        return BASELINES[config.kind](config, generator)
    return SpikingPolicy(config, generator=generator)


def numpy_weights(policy: SpikingPolicy) -> PolicyWeights:
    """Return the policy's arrays as float32 NumPy."""
    return policy.policy_weights().convert(lambda x: x.detach().cpu().numpy().astype(np.float32))


def numpy_stepper(policy: Network) -> Callable:
    """Return the tick in NumPy with today's weights, for roll-outs without gradients."""
    if isinstance(policy, SpikingPolicy):
        return partial(policy.tick, numpy_weights(policy), spike=_numpy_spike, tanh=np.tanh)
    step = policy.stepper()

    def tick(observation: NDArray[np.float32], states: tuple) -> tuple:
        with torch.no_grad():
            action, following, _ = step(
                torch.from_numpy(observation), tuple(map(torch.from_numpy, states))
            )
        return action.numpy(), tuple(x.numpy() for x in following), ()

    return tick


def unroll(
    network: Network, observations: Tensor, flown: Tensor, restarts: Tensor, slope: float
) -> Tensor:
    """Return the actions (T, batch, 4) along what was flown, whoever flew it, from zero states.

    Args:
        network: The policy.
        observations: (T, batch, 18).
        flown: Actions (T, batch, 4) that led from each observation to the next, by whomever.
        restarts: Where a new episode begins (T, batch).
        slope: Slope k of the surrogate gradient.
    """
    return unroll_spiking(network, observations, flown, restarts, slope)[0]


def unroll_spiking(
    network: Network, observations: Tensor, flown: Tensor, restarts: Tensor, slope: float
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the actions, as `unroll` does, and each spiking layer's spikes (T, batch, neurons)."""
    if isinstance(network, HistoryPerceptron):
        return network.follow(observations, flown, restarts), ()
    states = network.initial_states(observations.shape[1])
    if isinstance(network, SpikingPolicy):
        actions, _, spikes = network(observations, states, slope, restarts, flown)
        return actions, spikes
    return network(observations, states, slope, restarts)[0], ()


def _numpy_spike(
    membrane: NDArray[np.float32], threshold: NDArray[np.float32]
) -> NDArray[np.float32]:
    return (membrane > threshold).astype(np.float32)
