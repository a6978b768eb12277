"""The guard of the state estimate: each sample by itself, against the one before, over time.

Units and frames are found by what the drone itself does. Consecutive samples are compared: a change
of position with the velocity, a turn with the body rates, a change of the vertical velocity with
the thrust. Each comparison is a slope that is 1 where all is well, 1/57.3 for a gyro in deg/s, -1
for an axis that points the other way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from snn_controller.parameter import setting
from snn_controller.safety.envelope import EnvelopeLimits
from snn_controller.safety.guard import Guard, Moment, Rule, Stage, Verdict
from snn_controller.safety.state_machine import GROUND_MODES, Event
from snn_controller.vehicle import GRAVITY, FrameNames, Odometry, State, turn_between


@dataclass(frozen=True)
class EstimateLimits(EnvelopeLimits, FrameNames):
    """What odometry must be like."""

    odometry_timeout: float = setting(
        0.1, "age or silence of the odometry in s that counts as lost", low=0.01, high=10.0
    )
    frozen_time: float = setting(
        0.2,
        "time in s that odometry in the air may repeat one state to the last bit",
        low=0.05,
        high=3600.0,
    )
    max_position_jump: float = setting(
        0.3,
        "change of position in m between two samples beyond what the velocity explains",
        low=0.001,
        high=100.0,
    )
    max_velocity_jump: float = setting(
        1.5,
        "change of velocity in m/s between two samples beyond what 4 g explain",
        low=0.01,
        high=100.0,
    )
    max_attitude_jump_deg: float = setting(
        30.0,
        "turn in degrees between two samples beyond what the body rates explain",
        low=0.1,
        high=180.0,
    )
    max_position_deviation: float = setting(
        0.3, "standard deviation of the position in m, where odometry states it", low=0.0, high=1e3
    )
    max_velocity_deviation: float = setting(
        1.0,
        "standard deviation of the velocity in m/s, where odometry states it",
        low=0.0,
        high=1e3,
    )
    max_attitude_deviation_deg: float = setting(
        15.0,
        "standard deviation of the attitude in degrees, where odometry states it",
        low=0.0,
        high=180.0,
    )


QUATERNION_TOLERANCE = 0.05  # how far the length of a valid attitude may be from 1
MAX_ACCELERATION = 40.0  # m/s^2, what a velocity may change by without having jumped
MAX_GAP = 0.5  # s between samples beyond which nothing can be said about a jump


def check_odometry(sample: Odometry, now: int, limits: EstimateLimits) -> Verdict | None:
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


def _check_age(stamp: int, now: int, limits: EstimateLimits) -> Verdict | None:
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


def _check_deviations(sample: Odometry, limits: EstimateLimits) -> Verdict | None:
    attitude_limit = math.radians(limits.max_attitude_deviation_deg)
    if not sample.position_deviation <= limits.max_position_deviation:  # NaN too
        return _doubt("position", sample.position_deviation, "m", limits)
    if not sample.velocity_deviation <= limits.max_velocity_deviation:
        return _doubt("velocity", sample.velocity_deviation, "m/s", limits)
    if not sample.attitude_deviation <= attitude_limit:
        return _doubt("attitude", math.degrees(sample.attitude_deviation), "degrees", limits)
    return None


def _doubt(what: str, value: float, unit: str, limits: EstimateLimits) -> Verdict:
    """Say by how much too uncertain a part of the odometry is, and which parameter bounds it."""
    parameter = f"max_{what}_deviation" + ("_deg" if unit == "degrees" else "")
    if math.isnan(value):
        words = f"the odometry's {what} has a standard deviation that is not a number (NaN)"
    elif math.isinf(value):
        words = f"the odometry's {what} has a variance below zero or infinite: there is no estimate"
    else:
        told, limit = _apart(value, getattr(limits, parameter))
        words = (
            f"the odometry's {what} has a standard deviation of {told} {unit}, more than"
            f" {parameter} allows, {limit} {unit}"
        )
    return Verdict("deviation", f"{words}; check the estimator")


def _apart(value: float, limit: float) -> tuple[str, str]:
    """Return two numbers with as many digits as it takes to tell them apart, three at least."""
    told = bound = ""
    for digits in range(3, 18):  # no two doubles share 17
        told, bound = f"{value:.{digits}g}", f"{limit:.{digits}g}"
        if told != bound:
            break
    return told, bound


def check_jump(before: Odometry, sample: Odometry, limits: EstimateLimits) -> Verdict | None:
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


def _check_turn(old: State, new: State, seconds: float, limits: EstimateLimits) -> Verdict | None:
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


MEMORY = 0.5  # s after which evidence has faded to 1/e
MAX_PERIOD = 0.1  # s between two samples that are compared, or over which body rates are counted
TOLERANCE = 0.6  # how far a slope may be from 1: noise, delays and filters change it by less
CERTAINTY = 0.15  # standard error of a slope that is believed
MIN_SAMPLES = 5
SPREAD = 3.0  # times the largest sample: one spike is no evidence
WAY_EVIDENCE = 1e-4  # m^2, sum of squares
MOTION_TURN_EVIDENCE = 3e-4  # rad^2
STILL_EVIDENCE = 1e-2  # rad^2 of turning that body rates of zero must not miss
THRUST_EVIDENCE = 1e-3  # (m/s)^2
AXES = "xyz"


@dataclass
class SlopeFit:
    """Slope of what was observed over what was expected, with a memory that fades."""

    count: float = 0.0
    expected: float = 0.0  # sum of squares
    observed: float = 0.0  # sum of squares
    product: float = 0.0
    peak: float = 0.0  # largest square of one expectation

    def add(self, expected: float, observed: float, keep: float) -> None:
        """Take in one comparison; `keep` is the share of the old evidence that is left."""
        self.count = keep * self.count + 1.0
        self.expected = keep * self.expected + expected * expected
        self.observed = keep * self.observed + observed * observed
        self.product = keep * self.product + expected * observed
        self.peak = max(keep * self.peak, expected * expected)

    def slope(self, evidence: float) -> float | None:
        """Return the slope, or None while the evidence is thin, one-sided or noisy."""
        if self.count < MIN_SAMPLES or max(self.expected, self.observed) < evidence:
            return None
        if self.expected <= SPREAD * self.peak:
            return None
        slope = self.product / self.expected
        residual = max(self.observed - slope * self.product, 0.0) / self.count
        return slope if residual < CERTAINTY**2 * self.expected else None


class MotionFit:
    """Compares samples that are valid by themselves; feed it every pair, in the hand too."""

    def __init__(self) -> None:
        """Begin without evidence."""
        self._ways = [SlopeFit() for _ in AXES]
        self._turns = [SlopeFit() for _ in AXES]
        self._lift = SlopeFit()

    def compare(self, before: Odometry, sample: Odometry, lift: float | None) -> None:
        """Take in two consecutive samples.

        Args:
            before: The sample before.
            sample: The newest.
            lift: Vertical acceleration in m/s^2 that the rotors must give, None where unknown.
        """
        seconds = (sample.stamp - before.stamp) * 1e-9
        if not 0.0 < seconds <= MAX_PERIOD:
            return
        keep = math.exp(-seconds / MEMORY)
        old, new = before.state, sample.state
        for axis in range(3):
            mean = 0.5 * (old.velocity[axis].item() + new.velocity[axis].item())
            way = new.position[axis].item() - old.position[axis].item()
            self._ways[axis].add(mean * seconds, way, keep)
        turn = _rotation_vector(before, sample)
        for axis in range(3):
            mean = 0.5 * (old.body_rates[axis].item() + new.body_rates[axis].item())
            self._turns[axis].add(mean * seconds, turn[axis], keep)
        if lift is not None:
            gained = new.velocity[2].item() - old.velocity[2].item()
            self._lift.add(lift * seconds, gained, keep)

    def check(self) -> Verdict | None:
        """Say what does not fit, or None."""
        for axis, ways, turns in zip(AXES, self._ways, self._turns, strict=True):
            slope = turns.slope(MOTION_TURN_EVIDENCE)
            if slope is None and turns.observed > STILL_EVIDENCE > 4.0 * turns.expected:
                slope = 0.0
            if slope is not None and abs(slope - 1.0) > TOLERANCE:
                return Verdict("units", f"body rates about {axis} {_rates_reason(slope)}")
            slope = ways.slope(WAY_EVIDENCE)
            if slope is not None and abs(slope - 1.0) > TOLERANCE:
                return Verdict(
                    "units",
                    f"the position moves {slope:.2g} times as fast along {axis} as the velocity"
                    " says; check the velocity's unit, its sign and its frame (the child frame)",
                )
        slope = self._lift.slope(THRUST_EVIDENCE)
        if slope is not None and slope < -TOLERANCE:  # wind and another mass change it too
            return Verdict(
                "gravity",
                "the drone sinks in its odometry where its rotors lift it: z points down (NED);"
                " convert the odometry to ENU and FLU",
            )
        return None


def _rotation_vector(before: Odometry, sample: Odometry) -> tuple[float, float, float]:
    """Return the rotation vector (3,) in rad between two attitudes, in the body."""
    x, y, z, w = before.state.quaternion.tolist()
    p, q, r, s = sample.state.quaternion.tolist()
    scale = 2.0 if w * s + x * p + y * q + z * r >= 0.0 else -2.0  # small: twice the vector part
    return (
        scale * (w * p - x * s - y * r + z * q),
        scale * (w * q - y * s - z * p + x * r),
        scale * (w * r - z * s - x * q + y * p),
    )


def _rates_reason(slope: float) -> str:
    if 0.01 < slope < 0.03:
        return "are 57 times what the attitude says: they are in deg/s; send rad/s"
    if slope < -0.5:
        return "turn against the attitude: the axis points the other way (FRD?); send FLU"
    return f"do not fit the attitude, which turns {slope:.2g} times as fast; check the gyro"


# rad of rolling and pitching, by body rates that go on, that cannot leave the velocity as it was
TURN_EVIDENCE = 0.05


class FreezeWatch:
    """Knows for how long position and velocity, and the whole state, have been the same."""

    def __init__(self, limits: EstimateLimits) -> None:
        """Begin without samples."""
        self._limits = limits
        self.forget()

    def forget(self) -> None:
        """Begin anew: what stands on the ground may stand still."""
        self._before: Odometry | None = None
        self._place_since = self._all_since = 0  # ns, stamps
        self._turned = 0.0  # rad since the place has been the same

    def check(self, sample: Odometry) -> Verdict | None:
        """Take in a sample in the air that is valid by itself; say that it repeats, or None."""
        before, self._before = self._before, sample
        if before is None or not sample.state.same_place(before.state):
            self._place_since = self._all_since = sample.stamp
            self._turned = 0.0
            return None
        if not sample.state.same_attitude(before.state):
            self._all_since = sample.stamp
        self._turned += _way_turned(before, sample)
        if self._turned < TURN_EVIDENCE:
            return self._judge("the same state to the last bit", self._all_since, sample.stamp)
        what = "the same position and velocity while the body rates go on"
        return self._judge(what, self._place_since, sample.stamp)

    def _judge(self, what: str, since: int, stamp: int) -> Verdict | None:
        seconds = (stamp - since) * 1e-9
        if seconds < self._limits.frozen_time:
            return None
        return Verdict(
            "frozen",
            f"the odometry says {what} for {seconds * 1e3:.0f} ms; check the estimator and what it"
            " tracks",
        )


def _way_turned(before: Odometry, sample: Odometry) -> float:
    """Return how far the drone has rolled and pitched by its body rates, in rad."""
    seconds = min(max((sample.stamp - before.stamp) * 1e-9, 0.0), MAX_PERIOD)
    roll, pitch, _ = sample.state.body_rates.tolist()
    return (abs(roll) + abs(pitch)) * seconds


# m/s^2 by which the rotors of a drone that takes off outdo gravity when it must move: more than
# what a thrust that is a tenth off leaves standing
SURE_LIFT = 1.0


class EstimateGuard(Guard):
    """Judges every sample; remembers the newest that could be trusted by itself."""

    stage = Stage.ESTIMATE
    verdicts: ClassVar[Mapping[str, Rule]] = {
        "frame": Rule("pose or twist in other frames than the parameters name", Event.LOSE_STATE),
        "finite": Rule("NaN or infinity in the odometry", Event.LOSE_STATE),
        "attitude": Rule("quaternion length off 1 by more than 0.05", Event.LOSE_STATE),
        "stale": Rule(
            "sample older than `odometry_timeout`, or as far ahead of the clock", Event.LOSE_STATE
        ),
        "silence": Rule("no sample for `odometry_timeout`", Event.LOSE_STATE),
        "frozen": Rule(
            "one state repeated with fresh stamps for `frozen_time` while the drone flies",
            Event.LOSE_STATE,
        ),
        "jump": Rule(
            "`max_position_jump`, `max_velocity_jump` or `max_attitude_jump_deg` between two"
            " samples",
            Event.LOSE_STATE,
        ),
        "deviation": Rule("stated deviation above `max_..._deviation`", Event.LOSE_STATE),
        "units": Rule(
            "velocity or body rates do not fit the motion: deg/s, a wrong sign, another frame",
            Event.LOSE_STATE,
        ),
        "gravity": Rule(
            "thrust or gravity point the wrong way: NED, FRD, or a quaternion in another order",
            Event.LOSE_STATE,
        ),
    }

    def __init__(self, limits: EstimateLimits, _rate: float) -> None:
        """Begin without samples."""
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self._motion = MotionFit()
        self._freeze = FreezeWatch(self._limits)
        self._before: Odometry | None = None
        self._moved: Odometry | None = None  # the newest that was not said before
        self._jumped = False
        self._misfit: Verdict | None = None  # between the samples so far
        self._unsettled: tuple[Odometry, Odometry, float | None] | None = None

    def check(self, moment: Moment) -> Verdict | None:
        """Take in the newest sample and say why it cannot be flown on, or None."""
        sample = moment.sample
        assert sample is not None
        self.settle()
        verdict = check_odometry(sample, moment.now, self._limits)
        if verdict is None and self._before is not None:
            verdict = self._check_jump(self._before, sample)
        if verdict is not None:
            return verdict
        self._before = sample
        self._note_motion(sample, moment.thrust)
        airborne = moment.airborne and moment.mode not in GROUND_MODES
        return self._check_freeze(sample, moment.thrust, airborne=airborne) or self._misfit

    def settle(self) -> None:
        """Compare the newest two samples, which may take its time after their command."""
        if self._unsettled is None:
            return
        before, sample, thrust = self._unsettled
        self._unsettled = None
        lift = _lift(sample, thrust)
        lift = lift if lift > 0.0 else None  # else the ground pushes back
        self._motion.compare(before, sample, lift)
        self._misfit = self._motion.check()

    def _note_motion(self, sample: Odometry, thrust: float | None) -> None:
        """Let a sample be compared with the one before; what is said twice tells of no motion."""
        before, state = self._moved, sample.state
        if before and state.same_place(before.state) and state.same_attitude(before.state):
            return
        self._moved = sample
        if before is not None:
            self._unsettled = before, sample, thrust

    def _check_freeze(
        self, sample: Odometry, thrust: float | None, *, airborne: bool
    ) -> Verdict | None:
        if airborne or _lift(sample, thrust) > SURE_LIFT:
            return self._freeze.check(sample)
        self._freeze.forget()
        return None

    def _check_jump(self, before: Odometry, sample: Odometry) -> Verdict | None:
        verdict = check_jump(before, sample, self._limits)
        if verdict is None:
            self._jumped = False
            return None
        if self._jumped:  # it stays away: from now on the new place is the one to compare with
            self._before = self._moved = sample
        self._jumped = not self._jumped
        return verdict


def _lift(sample: Odometry, thrust: float | None) -> float:
    """Return what the rotors give beyond gravity in m/s^2, upwards; 0 where it is not known."""
    return 0.0 if thrust is None else sample.state.rotation[2, 2].item() * thrust - GRAVITY
