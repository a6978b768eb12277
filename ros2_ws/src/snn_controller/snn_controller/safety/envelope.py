"""Limits of space, attitude and speed on a valid state. World ENU, SI units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from snn_controller.parameter import setting
from snn_controller.safety.guard import Guard, Moment, Rule, Stage, Verdict
from snn_controller.safety.state_machine import Event, Mode
from snn_controller.vehicle import Array, State

WATCHED_MODES = frozenset({Mode.TAKEOFF, Mode.POLICY})  # in others the drone is on its way down


@dataclass(frozen=True)
class EnvelopeLimits:
    """What a flight must stay within; `geofence` is checked when a flight is set up."""

    geofence: list[float] = setting(
        [-3.0, 3.0, -3.0, 3.0, -0.5, 3.0], "x, y, z bounds in m: low, high, low, high, low, high"
    )
    max_tilt_deg: float = setting(120.0, "tilt at which the guide takes over", low=1.0, high=180.0)
    max_speed: float = setting(
        5.0, "speed in m/s at which the guide takes over", low=0.1, high=100.0
    )
    max_body_rate: float = setting(
        25.0, "body rate in rad/s about one axis at which the guide takes over", low=0.1, high=200.0
    )
    overturned_time: float = setting(
        1.0,
        "time in s beyond max_tilt_deg under the guide after which motors stop",
        low=0.0,
        high=60.0,
    )

    @cached_property
    def geofence_lower(self) -> Array:
        """Low corner (3,) of the box in m."""
        return np.array(self.geofence[::2], dtype=np.float64)

    @cached_property
    def geofence_upper(self) -> Array:
        """High corner (3,) of the box in m."""
        return np.array(self.geofence[1::2], dtype=np.float64)

    @cached_property
    def cosine_of_tilt(self) -> float:
        """Cosine of the largest tilt."""
        return float(np.cos(np.deg2rad(self.max_tilt_deg)))


class EnvelopeGuard(Guard):
    """Judges each state of a flight that takes off or is flown by the policy."""

    stage = Stage.FLIGHT
    verdicts: ClassVar[Mapping[str, Rule]] = {
        "geofence": Rule("outside the x, y bounds of `geofence`", Event.FALL_BACK),
        "altitude": Rule("outside the z bounds of `geofence`", Event.FALL_BACK),
        "tilt": Rule("more than `max_tilt_deg`", Event.FALL_BACK),
        "speed": Rule("more than `max_speed`", Event.FALL_BACK),
        "body_rate": Rule("more than `max_body_rate` about one axis", Event.FALL_BACK),
    }

    def __init__(self, limits: EnvelopeLimits, _rate: float) -> None:
        """Hold states against some limits."""
        self._limits = limits

    def check(self, moment: Moment) -> Verdict | None:
        """Say which limit the drone has left, or None."""
        if moment.sample is None or moment.mode not in WATCHED_MODES:
            return None
        return check_envelope(moment.sample.state, self._limits)


def check_envelope(state: State, limits: EnvelopeLimits) -> Verdict | None:
    """Say which limit of space, attitude or speed a valid state has left, or None."""
    return _check_space(state.position, limits) or _check_motion(state, limits)


def is_overturned(state: State, limits: EnvelopeLimits) -> bool:
    """Whether a state is tilted beyond the limit."""
    return bool(state.rotation[2, 2] < limits.cosine_of_tilt)


def _check_space(position: Array, limits: EnvelopeLimits) -> Verdict | None:
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


def _check_motion(state: State, limits: EnvelopeLimits) -> Verdict | None:
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


def check_goal(position: Array, limits: EnvelopeLimits, *, lowest: float) -> str | None:
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
