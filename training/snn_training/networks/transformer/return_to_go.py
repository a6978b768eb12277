"""The return-to-go of a flight without an end: as data say it, and as a policy keeps it in flight.

It is a mean reward a tick over the rest of a horizon of 500 ticks, an episode of the fixed test:
500 times it is the return that an episode would have. In a roll-out it is what was really earned
from a tick to the end; a crash leaves zeros. In flight it begins at what is asked for; after every
tick what was earned too little is added to what is still asked, and forgotten over the horizon:

    e' = (1 - 1 / h) e + (target - r) / h,    return-to-go = target + e, kept in the data's range

For the first h ticks this is the decision transformer's R' = R - r, as a mean; it never drifts.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_controller.vehicle import PART_SIZES
from snn_sim.task import EPISODE_STEPS, RewardCoefficients

HORIZON = EPISODE_STEPS
SHORTEST_REST = 25  # ticks; means over fewer would be noise


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
