"""What a tick of flight costs, smooth enough to follow its gradient through the drone.

The paper's hover reward with its end coefficients, turned into a cost, and what it lacks: a wall
before the crash distance, and a price on changing actions and on body rates, which the authors
wished for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from snn_sim.task import END_COEFFICIENTS
from snn_training.algorithms.apg.drone import DroneState, rotation_matrix
from snn_training.common import Rules

FAR = 2.0  # m; a drone that is lost costs no more than here, so that it does not drown the others
WALL_DEPTH = 0.5  # m over which the wall rises; beyond, a flight is lost and it is level


@dataclass(frozen=True)
class CostConfig:
    """Weights beside the reward's own."""

    near: float = 0.3
    """Per m of position error and axis, so that the last centimetres count."""
    wall: float = 20.0
    """Per m beyond `wall_distance`, per axis."""
    wall_distance: float = 0.48
    """Where the wall begins, in m; a crash is at 0.6 m."""
    smoothness: float = 0.2
    """Per squared change of an action from tick to tick."""
    body_rates: float = 0.002
    """Per squared body rate in rad/s."""


def flight_cost(
    state: DroneState,
    position: Tensor,
    velocity: Tensor,
    actions: tuple[Tensor, Tensor],
    throttle: Tensor,
    *,
    hover_throttle: float,
    config: CostConfig,
) -> Tensor:
    """Return the cost (n,) of the states that a tick led to.

    Args:
        state: States after the tick.
        position: References (n, 3) in m.
        velocity: References (n, 3) in m/s.
        actions: Action of the tick before and of this one, each (n, 4) in [-1, 1].
        throttle: That was commanded (n, 4) in [0, 1].
        hover_throttle: Throttle that carries the weight.
        config: Weights.
    """
    reward, error = END_COEFFICIENTS, state.position - position
    last, action = actions
    distance = error.abs()
    beyond = (distance - config.wall_distance).clamp(0.0, WALL_DEPTH)
    # Twice the sum of 1 - cos is the squared angle where that is small, and smooth everywhere.
    tilt = 3.0 - rotation_matrix(state.quaternion)[:, ::4].sum(dim=1)
    return (
        reward.position * _squares(error.clamp(-FAR, FAR))
        + reward.velocity * _squares(state.velocity - velocity)
        + reward.attitude * tilt
        + reward.throttle * _squares(throttle - hover_throttle)
        + config.near * distance.sum(dim=1)
        + config.wall * beyond.sum(dim=1)
        + config.smoothness * _squares(action - last)
        + config.body_rates * _squares(state.body_rates)
    )


def cost_rules(config: CostConfig) -> Rules:
    """Return the rules of the weights, for `snn_training.common.bounds.require`."""
    return {
        f"cost.{name.replace('_', '-')}": (0.0 <= x <= 1e6, "0 to 1000000")
        for name, x in asdict(config).items()
    }


def _squares(values: Tensor) -> Tensor:
    return torch.square(values).sum(dim=1)
