"""The autopilot's rate loop in PyTorch, between a policy's action and the differentiable drone.

The same law as `control_by_loops`, so that a flight's cost has a gradient in
actions of the kind `thrust_rates`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from snn_controller.vehicle import GRAVITY, RATE_LIMITS, Quadrotor
from snn_sim.envs import RateLoops

# Throttle above the turn of the thrust curve, where its inverse is infinitely steep.
NEAR_TURN = 0.01


class LoopTensors(NamedTuple):
    """`snn_sim.envs.rate_control.RateLoops` as tensors."""

    rates: Tensor  # (n, 3)
    lead: Tensor  # (n, 1)
    thrust_lead: Tensor  # (n, 1)
    delivery: Tensor  # (n, 1 + MAX_DELAY)


# Maps actions (n, 1 + MAX_DELAY, 4), newest first, measured body rates (n, 3), rotors (n, 4) and
# loops to throttle (n, 4).
RateLoop = Callable[[Tensor, Tensor, Tensor, LoopTensors], Tensor]


def loop_tensors(loops: RateLoops) -> LoopTensors:
    """Return loops as tensors."""
    return LoopTensors(*(_tensor(x) for x in loops))


def make_rate_loop(quadrotor: Quadrotor) -> RateLoop:
    """Return the loops of an airframe, differentiable in action, body rates and rotors."""
    inertia, limits = _tensor(quadrotor.inertia), _tensor(RATE_LIMITS)
    unmixer = _tensor(quadrotor.inverse_mixer.T.copy())
    scale = quadrotor.mass * GRAVITY

    def loop(actions: Tensor, body_rates: Tensor, rotors: Tensor, loops: LoopTensors) -> Tensor:
        asked = (loops.delivery[..., None] * actions.clamp(-1.0, 1.0)).sum(dim=1)
        force = scale * (1.0 + asked[:, :1])
        errors = limits.to(asked) * asked[:, 1:] - body_rates
        wrench = torch.cat([force, inertia.to(asked) * loops.rates * errors], dim=1)
        desired = _throttle(wrench @ unmixer.to(asked), quadrotor)
        ahead = desired - rotors
        common = ahead.mean(dim=1, keepdim=True)
        command = desired + loops.lead * (ahead - common) + loops.thrust_lead * common
        return command.clamp(0.0, 1.0)

    return loop


def _throttle(thrust: Tensor, quadrotor: Quadrotor) -> Tensor:
    """Return the throttle of a thrust in N, as `Quadrotor.throttle`, with a finite slope."""
    c0, c1, c2 = (float(x) for x in quadrotor.thrust_coefficients)
    clipped = thrust.clamp(*quadrotor.thrust_range)
    square = (c1 * c1 - 4.0 * c2 * (c0 - clipped)).clamp(min=(2.0 * c2 * NEAR_TURN) ** 2)
    return ((square.sqrt() - c1) / (2.0 * c2)).clamp(0.0, 1.0)


def _tensor(array: object) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
