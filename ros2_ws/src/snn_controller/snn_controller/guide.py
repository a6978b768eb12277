"""Geometric controller on the true state: expert for training, guide for jump starts, fallback.

It commands motors through the inverse mixer and anticipates the motor lag. All inputs accept
leading batch dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_controller.action import action_from_throttle
from snn_controller.frames import Array, roll_pitch_yaw
from snn_controller.quadrotor import Quadrotor
from snn_controller.state import Reference, State

MAX_ACCELERATION = 9.0  # m/s^2 per axis, what position and velocity errors may ask for
VERTICAL_ACCELERATION_RANGE = (-7.0, 8.0)  # m/s^2, keeps the thrust vector pointing up
MIN_COLLECTIVE = 2.0  # m/s^2, rotors keep turning so that attitude stays in control


@dataclass(frozen=True)
class GuideGains:
    """Gains of the calibration controller; per second squared (kp, kR) and per second (kd, kw)."""

    position: float = 9.0
    velocity: float = 5.0
    attitude: float = 400.0
    body_rate: float = 32.0
    yaw: float = 15.0
    yaw_rate: float = 8.0
    lead: float = 5.0  # how far the throttle command runs ahead of the rotors' state


def geometric_control(
    state: State,
    reference: Reference,
    rotors: Array,
    *,
    quadrotor: Quadrotor,
    gains: GuideGains,
) -> Array:
    """Return the motor action (..., 4) in [-1, 1] that flies towards the reference.

    Args:
        state: True state, (...) drones.
        reference: Position and velocity to reach.
        rotors: Present rotor state (..., 4) in [0, 1], the throttle the motors have reached.
        quadrotor: Airframe.
        gains: Controller gains.
    """
    rotation = state.rotation
    acceleration = _desired_acceleration(state, reference, quadrotor.gravity, gains)
    body_z = rotation[..., :, 2]
    collective = np.maximum(np.sum(acceleration * body_z, axis=-1), MIN_COLLECTIVE)
    tilt_error = _tilt_error(rotation, acceleration)
    angular = gains.attitude * tilt_error - gains.body_rate * state.body_rates
    yaw = roll_pitch_yaw(rotation)[..., 2]
    angular[..., 2] = -gains.yaw * yaw - gains.yaw_rate * state.body_rates[..., 2]
    wrench = np.concatenate(
        [quadrotor.mass * collective[..., None], quadrotor.inertia * angular], axis=-1
    )
    desired = quadrotor.throttle(wrench @ quadrotor.inverse_mixer.T)
    return np.clip(action_from_throttle(desired + gains.lead * (desired - rotors)), -1.0, 1.0)


def _desired_acceleration(
    state: State, reference: Reference, gravity: float, gains: GuideGains
) -> Array:
    """Return the specific force (..., 3) in m/s^2 to produce, gravity included."""
    acceleration = np.clip(
        -gains.position * (state.position - reference.position)
        - gains.velocity * (state.velocity - reference.velocity),
        -MAX_ACCELERATION,
        MAX_ACCELERATION,
    )
    acceleration[..., 2] = np.clip(acceleration[..., 2], *VERTICAL_ACCELERATION_RANGE) + gravity
    return acceleration


def _tilt_error(rotation: Array, acceleration: Array) -> Array:
    """Return the rotation vector (..., 3) in rad, in the body, that turns body z to the force."""
    target = acceleration / np.linalg.norm(acceleration, axis=-1, keepdims=True)
    in_body = np.einsum("...ji,...j->...i", rotation, target)
    # z cross target, written out: z is (0, 0, 1) in the body
    axis = np.stack([-in_body[..., 1], in_body[..., 0], np.zeros_like(in_body[..., 0])], axis=-1)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, in_body[..., 2:3])
    upside_down = (sine < 1e-9) & (in_body[..., 2:3] < 0.0)
    axis = np.where(upside_down, np.array([1.0, 0.0, 0.0]), axis / np.maximum(sine, 1e-9))
    return angle * axis
