"""A policy run along what was flown, whoever flew it."""

from __future__ import annotations

from torch import Tensor

from snn_training.networks.baselines import HistoryPerceptron
from snn_training.networks.make import Network
from snn_training.networks.spiking import SpikingPolicy


def unroll(
    network: Network, observations: Tensor, flown: Tensor, restarts: Tensor, slope: float
) -> Tensor:
    """Return the actions (T, batch, 4) along what was flown, from zero states.

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
