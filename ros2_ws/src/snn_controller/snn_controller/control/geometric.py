"""Geometric controller on the true state: expert for training, guide for jump starts, fallback.

A cascade: errors of position and attitude become collective thrust and body rates, which
`rate_control` turns into motor throttle. All inputs accept leading batch dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from snn_controller.control.body_rate import RateGains, control_rates
from snn_controller.vehicle import (
    Array,
    Quadrotor,
    Reference,
    State,
    action_from_throttle,
    roll_pitch_yaw,
)

MAX_ACCELERATION = 9.0  # m/s^2 per axis, what position and velocity errors may ask for
VERTICAL_ACCELERATION_RANGE = (-7.0, 8.0)  # m/s^2, keeps the thrust vector pointing up
MIN_COLLECTIVE = 2.0  # m/s^2, rotors keep turning so that attitude stays in control


@dataclass(frozen=True)
class GuideGains:
    """Gains of the guide; the defaults are those of the fixed test's calibration."""

    position: float = 9.0  # 1/s^2
    velocity: float = 5.0  # 1/s
    attitude: float = 400.0  # 1/s^2, roll and pitch
    yaw: float = 15.0  # 1/s^2
    rate: RateGains = field(default_factory=RateGains)


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
    thrust_rates = geometric_thrust_rates(state, reference, gravity=quadrotor.gravity, gains=gains)
    throttle = control_rates(
        thrust_rates, state.body_rates, rotors, quadrotor=quadrotor, gains=gains.rate
    )
    return action_from_throttle(throttle)


def geometric_thrust_rates(
    state: State, reference: Reference, *, gravity: float, gains: GuideGains
) -> Array:
    """Return collective thrust in m/s^2 and body rates in rad/s (..., 4) towards the reference."""
    rotation = state.rotation
    acceleration = _desired_acceleration(state, reference, gravity, gains)
    collective = np.maximum(np.sum(acceleration * rotation[..., :, 2], axis=-1), MIN_COLLECTIVE)
    rates = gains.attitude / gains.rate.tilt_rate * _tilt_error(rotation, acceleration)
    rates[..., 2] = -gains.yaw / gains.rate.yaw_rate * roll_pitch_yaw(rotation)[..., 2]
    return np.concatenate([collective[..., None], rates], axis=-1)


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
