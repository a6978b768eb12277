"""Limits of a flight and the verdicts that name what broke them. Pure functions, no ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from snn_controller.frames import Array
from snn_controller.state import Odometry, State

QUATERNION_TOLERANCE = 0.05  # how far the length of a valid attitude may be from 1


@dataclass(frozen=True)
class Verdict:
    """A limit that was broken: which one, and a sentence for people."""

    limit: str
    reason: str


@dataclass(frozen=True)
class Limits:
    """What a flight must stay within."""

    geofence_lower: Array = field(default_factory=lambda: np.array([-3.0, -3.0, -0.5]))  # m
    geofence_upper: Array = field(default_factory=lambda: np.array([3.0, 3.0, 3.0]))  # m
    odometry_age: float = 0.1  # s, older samples and longer gaps are stale
    tilt: float = np.deg2rad(120.0)  # rad
    missed_share: float = 0.2  # of the control periods in `missed_window`
    missed_window: float = 1.0  # s
    world_frame: str = "odom"
    body_frame: str = "base_link"


def check_odometry(sample: Odometry, now: int, limits: Limits) -> Verdict | None:
    """Say why a sample cannot be flown on, or None.

    Args:
        sample: The odometry.
        now: Present time in ns on the clock that stamped the sample.
        limits: Frames and age to hold it against.
    """
    if sample.frame != limits.world_frame or sample.child_frame != limits.body_frame:
        return Verdict(
            "frame",
            f"odometry is in frames '{sample.frame}'/'{sample.child_frame}' but ENU"
            f" '{limits.world_frame}' and FLU '{limits.body_frame}' are expected; convert it, or"
            " set the parameters world_frame and body_frame if only the names differ",
        )
    if not sample.state.is_finite():
        return Verdict("finite", "odometry has numbers that are not finite; check the estimator")
    length = math.hypot(*sample.state.quaternion.tolist())
    if abs(length - 1.0) > QUATERNION_TOLERANCE:
        return Verdict(
            "attitude",
            f"the odometry's quaternion has length {length:.3f} instead of 1; check the estimator",
        )
    age = (now - sample.stamp) * 1e-9
    if age < -limits.odometry_age:  # such a clock would also hide how old a sample is
        return Verdict(
            "stale",
            f"odometry is stamped {-age * 1e3:.0f} ms ahead of this node's clock; check that both"
            " ends share one clock",
        )
    if age > limits.odometry_age:
        return Verdict(
            "stale",
            f"odometry is {age * 1e3:.0f} ms old, more than {limits.odometry_age * 1e3:.0f} ms;"
            " check the link and that both ends share one clock",
        )
    return None


def check_envelope(state: State, limits: Limits) -> Verdict | None:
    """Say which limit of space or attitude a valid state has left, or None."""
    walls = zip(
        limits.geofence_lower.tolist(),
        position := state.position.tolist(),
        limits.geofence_upper.tolist(),
        strict=True,
    )
    if not all(lower <= coordinate <= upper for lower, coordinate, upper in walls):
        x, y, z = position
        return Verdict("geofence", f"left the geofence at ({x:.2f}, {y:.2f}, {z:.2f}) m")
    cosine = float(state.rotation[2, 2])
    if cosine < math.cos(limits.tilt):
        tilt = math.degrees(math.acos(max(cosine, -1.0)))
        return Verdict("tilt", f"tilted {tilt:.0f} degrees")
    return None


def check_goal(position: Array, limits: Limits, *, lowest: float) -> Verdict | None:
    """Say why a goal (3,) in the world cannot be flown to, or None; `lowest` is a height in m."""
    if not np.isfinite(position).all():
        return Verdict("goal", "goal has numbers that are not finite; it is ignored")
    if (position < limits.geofence_lower).any() or (position > limits.geofence_upper).any():
        return Verdict("goal", f"goal {position.tolist()} m is outside the geofence; ignored")
    if position[2] < lowest:
        return Verdict(
            "goal",
            f"goal {position.tolist()} m is on the ground; ignored, give a height of at least"
            f" {lowest:g} m",
        )
    return None


def silence_verdict(seconds: float) -> Verdict:
    """Return the verdict for odometry that stopped coming."""
    return Verdict(
        "silence",
        f"no odometry for {seconds * 1e3:.0f} ms; check the simulator, the estimator and the link",
    )
