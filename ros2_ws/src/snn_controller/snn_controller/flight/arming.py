"""From disarmed to flying: the checks before arming, the vehicle's consent, the start."""

from __future__ import annotations

from snn_controller.flight.plan import FlightPlan
from snn_controller.safety import Event, Limits, Mode, Verdict, check_envelope
from snn_controller.vehicle import LinkStatus, Odometry

REST_TIME = 0.5  # s without anything that speaks against arming
CHECK_TIMEOUT = 5.0  # s that a drone may take to come to rest
ARMING_TIMEOUT = 10.0  # s that a vehicle may take to arm
IDLE_TIMEOUT = 30.0  # s that a drone stays armed without a take-off

Step = tuple[Event, Verdict | None]


class ArmingSequence:
    """Decides each tick on the ground; remembers what speaks against arming."""

    def __init__(self, plan: FlightPlan, limits: Limits) -> None:
        """Begin with nothing known."""
        self._plan = plan
        self._limits = limits
        self._unrest: Verdict | None = Verdict("rest", "no odometry has come yet")
        self._rests_since: int | None = None  # ns, stamp
        self._sample: Odometry | None = None
        self._bad: Verdict | None = None
        self._lasting: Verdict | None = None

    def add(self, sample: Odometry, unrest: Verdict | None) -> None:
        """Take in a valid sample on the ground, and what the guards say against arming on it."""
        self._sample = sample
        self._bad = None
        self._unrest = unrest
        if unrest is not None:
            self._rests_since = None
        elif self._rests_since is None:
            self._rests_since = sample.stamp

    def add_bad(self, verdict: Verdict) -> None:
        """Take in a sample on the ground that cannot be flown on."""
        self._bad = verdict
        if verdict.doubts_the_past:
            self._lasting = verdict

    def obstacle(self, now: int) -> Verdict | None:
        """Say what speaks against arming at a time in ns, or None."""
        if self._lasting is not None:
            return self._lasting
        if self._sample is None or self._bad is not None:
            return self._bad or self._unrest
        silence = (now - self._sample.stamp) * 1e-9
        if silence > self._limits.odometry_timeout:
            return Verdict("silence", f"no odometry for {silence * 1e3:.0f} ms")
        return self._unrest

    def step(
        self, mode: Mode, sample: Odometry, status: LinkStatus, *, seconds: float, airborne: bool
    ) -> Step | None:
        """Return the event that follows in a state on the ground, or None to wait.

        Args:
            mode: `CHECKS`, `ARMING` or `ARMED`; nothing follows in others.
            sample: The newest odometry, valid.
            status: What the link says of the vehicle.
            seconds: Time in this state.
            airborne: Whether the drone is in the air.
        """
        if mode is Mode.CHECKS:
            return self._check(sample, seconds, airborne=airborne)
        if mode is Mode.ARMING:
            return _await_vehicle(status, seconds)
        if mode is Mode.ARMED:
            return self._start(seconds, airborne=airborne)
        return None

    def _check(self, sample: Odometry, seconds: float, *, airborne: bool) -> Step | None:
        unrest = None if airborne else self._unrest
        upside_down = unrest if unrest is not None and unrest.doubts_the_past else None
        verdict = (
            self._lasting
            or upside_down
            or check_envelope(sample.state, self._limits)
            or self._check_place(sample, airborne=airborne)
        )
        if verdict is not None:
            return Event.DISARM, verdict
        if airborne or self._has_rested(sample.stamp):
            return Event.PASS, None
        return (Event.DISARM, unrest) if unrest and seconds > CHECK_TIMEOUT else None

    def _has_rested(self, stamp: int) -> bool:
        since = self._rests_since
        return since is not None and (stamp - since) * 1e-9 >= REST_TIME

    def _check_place(self, sample: Odometry, *, airborne: bool) -> Verdict | None:
        if airborne and not self._plan.auto_start:
            height = sample.state.position[2]
            return Verdict(
                "start", f"the drone is at a height of {height:.2f} m; arm it on the ground"
            )
        if not airborne and not self._plan.lands:
            return Verdict(
                "start",
                f"task '{self._plan.task.name}' starts in the air but the drone is on the ground",
            )
        return None

    def _start(self, seconds: float, *, airborne: bool) -> Step | None:
        if self._plan.auto_start:
            return (Event.ENGAGE if airborne else Event.TAKE_OFF), None
        if seconds > IDLE_TIMEOUT:
            return Event.DISARM, Verdict(
                "idle", f"armed for {IDLE_TIMEOUT:.0f} s without a take-off; arm it again"
            )
        return None


def _await_vehicle(status: LinkStatus, seconds: float) -> Step | None:
    if status.armed and status.in_control:
        return Event.PASS, None
    if seconds > ARMING_TIMEOUT:
        why = status.refusal or f"no answer within {ARMING_TIMEOUT:.0f} s"
        return Event.DISARM, Verdict("vehicle", f"the vehicle does not arm: {why}")
    return None
