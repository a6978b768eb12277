"""The drone in PyTorch, so that a flight's cost has a gradient in every action. SI units, ENU, FLU.

The batched simulator's rigid body, thrust curve, mixer, motor lag and delay; its RK4 is replaced by
a midpoint step of the rotation and the mean acceleration, which is near enough for a gradient
and a fraction of the work. What is trained here is validated there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from snn_controller.vehicle import (
    PART_SIZES,
    POSITION_ERROR_LIMIT,
    VELOCITY_ERROR_LIMIT,
    Quadrotor,
)
from snn_sim.batched import DroneBatch

# rad/s; a tumbling drone that a policy has lost for good must not make everything infinite.
BODY_RATE_LIMIT = 40.0


class DroneState(NamedTuple):
    """States of drones, each (n, ...)."""

    position: Tensor  # (n, 3) m
    quaternion: Tensor  # (n, 4) xyzw
    velocity: Tensor  # (n, 3) m/s
    body_rates: Tensor  # (n, 3) rad/s
    rotors: Tensor  # (n, 4) in [0, 1]
    last_command: Tensor  # (n, 4) throttle one step ago
    earlier_command: Tensor  # (n, 4) throttle two steps ago


class DronePhysics(NamedTuple):
    """What each drone is flown with, as `EpisodePhysics` without the push."""

    mass: Tensor
    inertia: Tensor
    thrust_scale: Tensor
    decay_up: Tensor
    decay_down: Tensor
    delay_shares: Tensor
    force: Tensor
    torque: Tensor


# Maps (state, physics, action in [-1, 1] (n, 4), push in N (n, 3)) to the next state.
DroneStep = Callable[[DroneState, DronePhysics, Tensor, Tensor], DroneState]


def read_states(drones: DroneBatch) -> DroneState:
    """Return the states of the simulator's drones, where commands before count as their rotors."""
    state, rotors = drones.state, _tensor(drones.rotors)
    return DroneState(
        _tensor(state.position),
        _tensor(state.quaternion),
        _tensor(state.velocity),
        _tensor(state.body_rates),
        *(rotors, rotors, rotors),
    )


def read_physics(drones: DroneBatch) -> DronePhysics:
    """Return what the present episodes are flown with."""
    return DronePhysics(*(_tensor(x) for x in drones.physics[: len(DronePhysics._fields)]))


def make_drone_step(quadrotor: Quadrotor, period: float) -> DroneStep:
    """Return the step of a control period in s, differentiable in state and action."""
    curve = [float(x) for x in quadrotor.thrust_coefficients]
    mixer = _tensor(quadrotor.mixer[1:].T.copy())  # (4, 3) torque of each rotor's thrust
    gravity = torch.tensor([0.0, 0.0, quadrotor.gravity])

    def step(state: DroneState, physics: DronePhysics, action: Tensor, push: Tensor) -> DroneState:
        command = (action.clamp(-1.0, 1.0) + 1.0) / 2.0
        middle, rotors = _turn_rotors(state, physics, command)
        thrust = (curve[0] + middle * (curve[1] + curve[2] * middle)) * physics.thrust_scale
        torque = thrust @ mixer.to(thrust) + physics.torque
        rates = state.body_rates + period / 2.0 * _spin_up(state.body_rates, torque, physics)
        later_rates = state.body_rates + period * _spin_up(rates, torque, physics)
        up = _body_up(_turn(state.quaternion, rates, period / 2.0))
        force = up * thrust.sum(dim=1, keepdim=True) + physics.force + push
        velocity = state.velocity + period * (force / physics.mass - gravity.to(force))
        return DroneState(
            state.position + period / 2.0 * (state.velocity + velocity),
            _turn(state.quaternion, rates, period),
            velocity,
            later_rates.clamp(-BODY_RATE_LIMIT, BODY_RATE_LIMIT),
            rotors,
            command,
            state.last_command,
        )

    return step


def observe(state: DroneState, position: Tensor, velocity: Tensor, noise: Tensor) -> Tensor:
    """Return the observations (n, 18) against references (n, 3), as `observation.observe`.

    Args:
        state: States of the drones.
        position: References in m (n, 3).
        velocity: References in m/s (n, 3).
        noise: On each number (n, 18), before the clipping.
    """
    parts = [
        state.position - position,
        rotation_matrix(state.quaternion),
        state.velocity - velocity,
        state.body_rates,
    ]
    errors, matrix, speeds, rates = (torch.cat(parts, dim=1) + noise).split(PART_SIZES, dim=1)
    errors = errors.clamp(-POSITION_ERROR_LIMIT, POSITION_ERROR_LIMIT)
    speeds = speeds.clamp(-VELOCITY_ERROR_LIMIT, VELOCITY_ERROR_LIMIT)
    return torch.cat([errors, matrix, speeds, rates], dim=1)


def rotation_matrix(quaternion: Tensor) -> Tensor:
    """Return rotation matrices, row-major (n, 9), of quaternions xyzw (n, 4)."""
    x, y, z, w = quaternion.unbind(dim=1)
    rows = [
        *(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)),
        *(2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)),
        *(2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)),
    ]
    return torch.stack(rows, dim=1)


def _turn_rotors(
    state: DroneState, physics: DronePhysics, command: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the rotors (n, 4) in the middle and at the end of the step, behind delay and lag."""
    now, last, earlier = physics.delay_shares.split(1, dim=1)
    target = now * command + last * state.last_command + earlier * state.earlier_command
    decay = torch.where(target > state.rotors, physics.decay_up, physics.decay_down)
    away = (state.rotors - target) * decay
    return target + away, target + away * decay


def _spin_up(rates: Tensor, torque: Tensor, physics: DronePhysics) -> Tensor:
    """Return the angular acceleration (n, 3) in rad/s^2, by Euler's equation."""
    gyroscopic = torch.linalg.cross(rates, physics.inertia * rates)
    return (torque - gyroscopic) / physics.inertia


def _turn(quaternion: Tensor, rates: Tensor, time: float) -> Tensor:
    """Return quaternions (n, 4) turned by body rates (n, 3) for a time in s, to second order."""
    half = rates * (time / 2.0)
    scalar = 1.0 - half.square().sum(dim=1) / 2.0
    x, y, z, w = quaternion.unbind(dim=1)
    i, j, k = half.unbind(dim=1)
    turned = torch.stack(
        [
            w * i + x * scalar + y * k - z * j,
            w * j - x * k + y * scalar + z * i,
            w * k + x * j - y * i + z * scalar,
            w * scalar - x * i - y * j - z * k,
        ],
        dim=1,
    )
    return turned / turned.norm(dim=1, keepdim=True)


def _body_up(quaternion: Tensor) -> Tensor:
    """Return where the body's z axis points in the world (n, 3)."""
    x, y, z, w = quaternion.unbind(dim=1)
    parts = [2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)]
    return torch.stack(parts, dim=1)


def _tensor(array: object) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
