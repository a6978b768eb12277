"""The decision transformer as it flies: one tick, with the return-to-go kept inside.

The runtime gives observation, last applied action and target return; everything else is state, all
zeros after a reset. Before its first tick nothing was earned, so the return-to-go is the target.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snn_controller.vehicle import ACTION_SIZE
from snn_sim.task import END_COEFFICIENTS, RewardCoefficients
from snn_training.networks.transformer.model import DecisionTransformer
from snn_training.networks.transformer.return_to_go import HORIZON, next_error, reward_of
from snn_training.networks.transformer.spiking_block import States
from snn_training.neurons import Membranes, PlasticityConfig, plasticity

ERROR, BEGUN = "return_error", "begun"


@dataclass(frozen=True)
class Conditioning:
    """What a flight needs to know of returns; returns are those of an episode of 500 ticks."""

    target: float
    """Return to aim for where nobody asks for another."""
    low: float
    """Least return of the data."""
    high: float
    """Largest return of the data."""
    hover_throttle: float
    coefficients: RewardCoefficients = END_COEFFICIENTS


class FlyingTransformer(nn.Module):
    """One tick with fixed weights."""

    def __init__(
        self,
        network: DecisionTransformer,
        conditioning: Conditioning,
        adaptation: PlasticityConfig | None = None,
    ) -> None:
        """Take a copy of the network as it is now."""
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        for layer in self.network.modules():
            if isinstance(layer, Membranes):
                layer.freeze()
        self.conditioning = conditioning
        self.plasticity = adaptation or PlasticityConfig()

    def initial_states(self, batch: int = 1) -> States:
        """Return the states of a batch after a reset: all zeros."""
        states = self.network.initial_states(batch)
        if self.network.config.conditioned or self.plasticity.enabled:
            states |= {ERROR: torch.zeros(batch, 1), BEGUN: torch.zeros(batch, 1)}
        if self.plasticity.enabled:
            width = self.network.config.width
            states |= plasticity.empty(width, ACTION_SIZE, batch)
        reference = self.network.readout.weight
        return {k: x if x.dtype == torch.long else x.to(reference) for k, x in states.items()}

    def forward(
        self, observation: Tensor, last_action: Tensor, target: Tensor, states: States
    ) -> tuple[Tensor, States, dict[str, Tensor]]:
        """Return action (batch, 4), next states and spikes (batch, neurons) of each layer.

        Args:
            observation: (batch, 18).
            last_action: (batch, 4), what was applied in the tick before.
            target: Return (batch, 1) to aim for.
            states: As `initial_states` gives them.
        """
        following: States = {}
        returns, weights = 0.0 * target, None
        if ERROR in states:
            asked, reward = self._limit(target), self._reward(observation, last_action)
            error = states[BEGUN] * next_error(states[ERROR], asked, reward)
            returns = self._limit(HORIZON * (asked + error))
            following |= {ERROR: error, BEGUN: torch.ones_like(error)}
            if self.plasticity.enabled:
                learnt = plasticity.learn(states, reward, states[BEGUN], self.plasticity)
                weights, following = learnt[plasticity.PLASTIC], following | learnt
        own = {name: states[name] for name in self.network.initial_states(1)}
        features, later, spikes = self.network.features(observation, last_action, returns, own)
        drive = self.network.readout(features)
        if weights is not None:
            drive = drive + (features[:, None] @ weights)[:, 0]
        action = torch.tanh(drive)
        if weights is not None:
            following[plasticity.ELIGIBILITY] = plasticity.remember(
                states, features, action, self.plasticity
            )
        following |= later
        return action, {name: following[name] for name in states}, spikes

    def _limit(self, target: Tensor) -> Tensor:
        """Return what is asked a tick, moved into the range of the data."""
        limits = self.conditioning
        return target.clamp(limits.low, limits.high) / HORIZON

    def _reward(self, observation: Tensor, last_action: Tensor) -> Tensor:
        limits = self.conditioning
        return reward_of(observation, last_action, limits.coefficients, limits.hover_throttle)
