"""Limits of space, attitude and speed on a valid state. Pure functions. World ENU, SI units."""

from __future__ import annotations

import math

import numpy as np

from snn_controller.safety.limits import Limits
from snn_controller.safety.verdicts import Verdict
from snn_controller.vehicle import Array, State


def check_envelope(state: State, limits: Limits) -> Verdict | None:
    """Say which limit of space, attitude or speed a valid state has left, or None."""
    return _check_space(state.position, limits) or _check_motion(state, limits)


def is_overturned(state: State, limits: Limits) -> bool:
    """Whether a state is tilted beyond the limit."""
    return bool(state.rotation[2, 2] < limits.cosine_of_tilt)


def _check_space(position: Array, limits: Limits) -> Verdict | None:
    x, y, z = position.tolist()
    x_low, y_low, z_low = limits.geofence_lower.tolist()
    x_high, y_high, z_high = limits.geofence_upper.tolist()
    if not (x_low <= x <= x_high and y_low <= y <= y_high):
        return Verdict("geofence", f"left the geofence at ({x:.2f}, {y:.2f}, {z:.2f}) m")
    if not z_low <= z <= z_high:
        return Verdict(
            "altitude", f"left the geofence at a height of {z:.2f} m ({z_low:g} to {z_high:g})"
        )
    return None


def _check_motion(state: State, limits: Limits) -> Verdict | None:
    if is_overturned(state, limits):
        tilt = math.degrees(math.acos(max(float(state.rotation[2, 2]), -1.0)))
        return Verdict("tilt", f"tilted {tilt:.0f} degrees")
    speed = math.hypot(*state.velocity.tolist())
    if speed > limits.max_speed:
        return Verdict("speed", f"moved at {speed:.1f} m/s, more than {limits.max_speed:g} m/s")
    rate = max(map(abs, state.body_rates.tolist()))
    if rate > limits.max_body_rate:
        return Verdict(
            "body_rate", f"turned at {rate:.1f} rad/s, more than {limits.max_body_rate:g} rad/s"
        )
    return None


def check_goal(position: Array, limits: Limits, *, lowest: float) -> str | None:
    """Say why a goal (3,) in the world cannot be flown to, or None; `lowest` is a height in m."""
    if not np.isfinite(position).all():
        return "goal has numbers that are not finite; it is ignored"
    if (position < limits.geofence_lower).any() or (position > limits.geofence_upper).any():
        return f"goal {position.tolist()} m is outside the geofence; ignored"
    if position[2] < lowest:
        return (
            f"goal {position.tolist()} m is on the ground; ignored, give a height of at least"
            f" {lowest:g} m"
        )
    return None
