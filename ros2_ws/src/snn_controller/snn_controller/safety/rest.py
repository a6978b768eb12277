"""What must hold before motors may turn: at rest, upright, gravity where it should be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from snn_controller.safety.guard import Guard, Moment, Rule, Stage, Verdict
from snn_controller.safety.state_machine import Event
from snn_controller.vehicle import GRAVITY, Odometry, State

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


class RestGuard(Guard):
    """Judges whether a drone on the ground is at rest and upright."""

    stage = Stage.REST
    verdicts: ClassVar[Mapping[str, Rule]] = {
        "rest": Rule(
            "moving, turning or tilted by more than 15 degrees before arming", Event.DISARM
        ),
    }

    def __init__(self, _limits: object, _rate: float) -> None:
        """Remember nothing: each sample says it anew."""

    def check(self, moment: Moment) -> Verdict | None:
        """Say what speaks against arming now, or None."""
        sample = moment.sample
        assert sample is not None
        return check_level(sample.state) or check_rest(sample.state) or check_gravity(sample)
