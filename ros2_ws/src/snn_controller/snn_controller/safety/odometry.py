"""Whether an odometry sample can be flown on: frames, numbers, age, deviations, jumps."""

from __future__ import annotations

import math

from snn_controller.safety.limits import Limits
from snn_controller.safety.verdicts import Verdict
from snn_controller.vehicle import Odometry, State, turn_between

QUATERNION_TOLERANCE = 0.05  # how far the length of a valid attitude may be from 1
MAX_ACCELERATION = 40.0  # m/s^2, what a velocity may change by without having jumped
MAX_GAP = 0.5  # s between samples beyond which nothing can be said about a jump


def check_odometry(sample: Odometry, now: int, limits: Limits) -> Verdict | None:
    """Say why a sample by itself cannot be flown on, or None.

    Args:
        sample: The odometry.
        now: Present time in ns on the clock that stamped the sample.
        limits: Frames, age and deviations to hold it against.
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
    return _check_age(sample.stamp, now, limits) or _check_deviations(sample, limits)


def _check_age(stamp: int, now: int, limits: Limits) -> Verdict | None:
    age, limit = (now - stamp) * 1e-9, limits.odometry_timeout
    if age < -limit:  # such a clock would also hide how old a sample is
        return Verdict(
            "stale",
            f"odometry is stamped {-age * 1e3:.0f} ms ahead of this node's clock; check that both"
            " ends share one clock",
        )
    if age > limit:
        return Verdict(
            "stale",
            f"odometry is {age * 1e3:.0f} ms old, more than {limit * 1e3:.0f} ms;"
            " check the link and that both ends share one clock",
        )
    return None


def _check_deviations(sample: Odometry, limits: Limits) -> Verdict | None:
    attitude_limit = math.radians(limits.max_attitude_deviation_deg)
    for name, value, limit, unit in (
        ("position", sample.position_deviation, limits.max_position_deviation, "m"),
        ("velocity", sample.velocity_deviation, limits.max_velocity_deviation, "m/s"),
        ("attitude", sample.attitude_deviation, attitude_limit, "rad"),
    ):
        if not value <= limit:  # NaN too
            return Verdict(
                "deviation",
                f"the odometry's {name} has a standard deviation of {value:.2g} {unit}, more than"
                f" {limit:.2g} {unit}; check the estimator",
            )
    return None


def check_jump(before: Odometry, sample: Odometry, limits: Limits) -> Verdict | None:
    """Say what jumped between two samples that are valid by themselves, or None."""
    seconds = (sample.stamp - before.stamp) * 1e-9
    if seconds > MAX_GAP:
        return None
    old, new = before.state, sample.state
    jump = _unexplained_way(old, new, seconds)
    if jump > limits.max_position_jump:
        return Verdict("jump", f"the odometry's position jumped by {jump:.2f} m")
    jump = math.dist(old.velocity.tolist(), new.velocity.tolist()) - MAX_ACCELERATION * seconds
    if jump > limits.max_velocity_jump:
        return Verdict("jump", f"the odometry's velocity jumped by {jump:.1f} m/s")
    return _check_turn(old, new, seconds, limits)


def _check_turn(old: State, new: State, seconds: float, limits: Limits) -> Verdict | None:
    rates = [math.hypot(*state.body_rates.tolist()) for state in (old, new)]
    turn = turn_between(old.quaternion, new.quaternion)
    jump = math.degrees(turn - max(rates) * seconds)
    if jump > limits.max_attitude_jump_deg:
        return Verdict("jump", f"the odometry's attitude jumped by {jump:.0f} degrees")
    # A drone that spins turns; a gyro in deg/s only says so.
    if rates[1] > limits.max_body_rate and turn < 0.25 * rates[1] * seconds < 1.0:
        return Verdict(
            "units",
            f"body rates of {rates[1]:.0f} rad/s, but the attitude turns at"
            f" {turn / seconds:.1f} rad/s; check that they are in rad/s",
        )
    return None


def _unexplained_way(old: State, new: State, seconds: float) -> float:
    """Return the change of position in m that the mean of the velocities does not explain."""
    columns = (x.tolist() for x in (old.position, new.position, old.velocity, new.velocity))
    return math.hypot(
        *(q - p - 0.5 * (v + w) * seconds for p, q, v, w in zip(*columns, strict=True))
    )
