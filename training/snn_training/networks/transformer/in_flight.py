"""The decision transformer as it flies: one tick, with the return-to-go kept inside.

The runtime gives observation, last applied action and target return; everything else is state, all
zeros after a reset. Before its first tick nothing was earned, so the return-to-go is the target.

A return-to-go is a mean reward a tick over the rest of a horizon of 500 ticks, an episode of the
fixed test: 500 times it is the return that an episode would have. In data it is what was really
earned from a tick to the end; a crash leaves zeros. In flight it begins at what is asked for; after
every tick what was earned too little is added to what is still asked, and forgotten over the
horizon:

    e' = (1 - 1 / h) e + (target - r) / h,    return-to-go = target + e, kept in the data's range

For the first h ticks this is the decision transformer's R' = R - r, as a mean; it never drifts.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_controller.vehicle import ACTION_SIZE, PART_SIZES
from snn_sim.task import END_COEFFICIENTS, EPISODE_STEPS, RewardCoefficients
from snn_training.networks.transformer.blocks import NamedStates
from snn_training.networks.transformer.model import DecisionTransformer
from snn_training.neurons import Membranes, PlasticityConfig, plasticity

ERROR, BEGUN = "return_error", "begun"
HORIZON = EPISODE_STEPS
SHORTEST_REST = 25  # ticks; means over fewer would be noise


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

    def initial_states(self, batch: int = 1) -> NamedStates:
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
        self, observation: Tensor, last_action: Tensor, target: Tensor, states: NamedStates
    ) -> tuple[Tensor, NamedStates, dict[str, Tensor]]:
        """Return action (batch, 4), next states and spikes (batch, neurons) of each layer.

        Args:
            observation: (batch, 18).
            last_action: (batch, 4), what was applied in the tick before.
            target: Return (batch, 1) to aim for.
            states: As `initial_states` gives them.
        """
        following: NamedStates = {}
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


def mean_returns_to_go(
    rewards: NDArray[np.float32], lengths: NDArray[np.int64], *, horizon: int = HORIZON
) -> NDArray[np.float32]:
    """Return the mean reward a tick (episodes, steps) from each step to the horizon's end.

    Args:
        rewards: (episodes, steps), zeros after the ends of episodes.
        lengths: Steps flown (episodes,); those that a crash cost count as zeros.
        horizon: Ticks of an episode that was not cut short.
    """
    alive = np.arange(rewards.shape[1]) < lengths[:, None]
    paid = np.where(alive, rewards, 0.0)
    sums = np.cumsum(paid[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]
    left = np.maximum(horizon - np.arange(rewards.shape[1]), 1)
    late = left < SHORTEST_REST
    means = sums / left
    if late.any() and not late.all():  # there, the last mean of enough ticks stands for the rest
        means[:, late] = means[:, [np.flatnonzero(~late)[-1]]]
    return means.astype(np.float32)


def reward_of(
    observation: Tensor,
    last_action: Tensor,
    coefficients: RewardCoefficients,
    hover_throttle: float,
) -> Tensor:
    """Return the reward (batch, 1) of the tick that led to an observation.

    It is `hover_reward` by what a policy knows: errors as observed, so clipped, and the
    last action (batch, 4) as throttles.
    """
    position, rotation, velocity, *_ = observation.split(PART_SIZES, dim=-1)
    throttle = 0.5 * (last_action + 1.0)
    angles = roll_pitch_yaw(rotation)
    return (
        coefficients.survival
        - coefficients.position * _squares(position)
        - coefficients.velocity * _squares(velocity)
        - coefficients.attitude * _squares(angles)
        - coefficients.throttle * _squares(throttle - hover_throttle)
    )


def roll_pitch_yaw(rotation: Tensor) -> Tensor:
    """Return the ZYX angles (batch, 3) in rad of rotation matrices (batch, 9), row by row."""
    r11, r21, r31, r32, r33 = (rotation[..., i] for i in (0, 3, 6, 7, 8))
    sine = (-r31).clamp(-1.0, 1.0)
    cosine = torch.sqrt(1.0 - sine * sine)
    return torch.stack([_angle(r32, r33), _angle(sine, cosine), _angle(r21, r11)], dim=-1)


def next_error(error: Tensor, target: Tensor, reward: Tensor, *, horizon: int = HORIZON) -> Tensor:
    """Return how far the return-to-go is above the target (batch, 1) after one more reward."""
    return (1.0 - 1.0 / horizon) * error + (target - reward) / horizon


def _angle(y: Tensor, x: Tensor) -> Tensor:
    """Return atan2 by the half angle, which needs one plain arctangent."""
    length = torch.sqrt(x * x + y * y)
    # onnxruntime has no arctangent of doubles
    return 2.0 * torch.atan((y / (length + x).clamp(min=1e-6)).float()).to(y.dtype)


def _squares(values: Tensor) -> Tensor:
    return (values * values).sum(dim=-1, keepdim=True)
