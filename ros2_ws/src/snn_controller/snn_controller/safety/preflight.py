"""What must hold before motors may turn: at rest, upright, gravity where it should be."""

from __future__ import annotations

import math

import numpy as np

from snn_controller.safety.verdicts import Verdict
from snn_controller.vehicle import GRAVITY, Odometry, State

REST_TIME = 0.5  # s at rest before arming
REST_SPEED = 0.15  # m/s
REST_RATE = 0.2  # rad/s
LEVEL = math.cos(math.radians(15.0))
UPSIDE_DOWN = math.cos(math.radians(150.0))
GRAVITY_TOLERANCE = 3.0  # m/s^2 between what the accelerometer says and gravity


def check_level(state: State) -> Verdict | None:
    """Say why a drone that stands on the ground seems not to stand upright, or None."""
    cosine = float(state.rotation[2, 2])
    if cosine < UPSIDE_DOWN:
        return Verdict(
            "gravity",
            "the odometry says that the drone stands on its head; if it does not, its pose is half"
            " NED or FRD, or its quaternion is not in the order x, y, z, w; send ENU and FLU",
        )
    if cosine < LEVEL:
        tilt = math.degrees(math.acos(cosine))
        return Verdict("rest", f"the drone is tilted by {tilt:.0f} degrees; put it on level ground")
    return None


def check_gravity(sample: Odometry) -> Verdict | None:
    """Hold the accelerometer at rest, where there is one, against gravity."""
    if sample.specific_force is None:
        return None
    up = sample.state.rotation @ sample.specific_force  # m/s^2, world
    error = float(np.linalg.norm(up - np.array([0.0, 0.0, GRAVITY])))
    if error <= GRAVITY_TOLERANCE:
        return None
    x, y, z = sample.specific_force.tolist()
    why = "z points down (FRD or NED)" if z < -0.5 * GRAVITY else "check its unit and its axes"
    return Verdict(
        "gravity",
        f"at rest the accelerometer says ({x:.1f}, {y:.1f}, {z:.1f}) m/s^2 where gravity must give"
        f" (0, 0, {GRAVITY}) in FLU: {why}",
    )


def check_rest(state: State) -> Verdict | None:
    """Say why a drone is not at rest, or None."""
    speed = math.hypot(*state.velocity.tolist())
    if speed > REST_SPEED:
        return Verdict("rest", f"the drone moves at {speed:.2f} m/s; put it down")
    rate = math.hypot(*state.body_rates.tolist())
    if rate > REST_RATE:
        return Verdict(
            "rest",
            f"the drone turns at {rate:.2f} rad/s; put it down, or check that its body rates are"
            " in rad/s and its gyro is calibrated",
        )
    return None


class RestWatch:
    """Knows for how long the drone has been at rest and upright."""

    def __init__(self) -> None:
        """Begin without evidence."""
        self.verdict: Verdict | None = Verdict("rest", "no odometry has come yet")
        self._since: int | None = None

    def add(self, sample: Odometry) -> None:
        """Take in a sample that is valid by itself."""
        state = sample.state
        self.verdict = check_level(state) or check_rest(state) or check_gravity(sample)
        if self.verdict is not None:
            self._since = None
        elif self._since is None:
            self._since = sample.stamp

    def rested(self, stamp: int) -> bool:
        """Whether the drone has been at rest for long enough at a stamp in ns."""
        return self._since is not None and (stamp - self._since) * 1e-9 >= REST_TIME
