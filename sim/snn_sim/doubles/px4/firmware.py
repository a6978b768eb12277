"""What PX4 does with modes, arming and lost setpoints. Pure behaviour, seconds; no MAVLink.

Reproduced as observed with PX4 SITL v1.12.0-1923 over MAVLink:

- OFFBOARD is temporarily rejected without a stream of setpoints, and accepted after 1.5 s of it;
- arming is denied while a pre-arm check fails, with its text;
- when the stream stops, it leaves OFFBOARD for POSCTL by itself (COM_OF_LOSS_T, 0.5 s);
- disarming in flight is refused with "Disarming denied! Not landed".

From PX4's documentation, not observed: it wants one second of stream (COM_OF_LOSS_T between
setpoints at most), sees a landing after a second without thrust and motion (LNDMC_TRIG_TIME),
disarms 2 s after it (COM_DISARM_LAND) and 10 s after arming without a
take-off (COM_DISARM_PRFLT), and disarms by force (21196) in the air. POSCTL without sticks holds
the position; AUTO.LAND sinks straight down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

ACCEPTED, TEMPORARILY_REJECTED, DENIED, UNSUPPORTED = 0, 1, 2, 3
CRITICAL = 2  # severity of a text
NOT_LANDED = "Disarming denied! Not landed"
STREAM_TIME = 1.0  # s
LANDING_TIME = 1.0  # s


class Mode(IntEnum):
    """Main and sub mode as `custom_mode` has them."""

    MANUAL = 1 << 16
    POSCTL = 3 << 16
    OFFBOARD = 6 << 16
    HOLD = (4 << 16) | (3 << 24)
    LAND = (4 << 16) | (6 << 24)


@dataclass
class Px4Firmware:
    """State of the commander. Every call takes the time in s."""

    mode: Mode = Mode.MANUAL
    armed: bool = False
    failsafe: bool = False
    prearm_failure: str = ""  # why it does not arm
    refuses_offboard: bool = False  # as without a pilot's radio, unless a parameter excepts it
    parameters: dict[str, float] = field(
        default_factory=lambda: {
            "COM_OF_LOSS_T": 0.5,
            "COM_DISARM_LAND": 2.0,
            "COM_DISARM_PRFLT": 10.0,
            "MPC_THR_HOVER": 0.5,
        }
    )
    texts: list[str] = field(default_factory=list)  # to be sent, severity critical
    _first_setpoint: float | None = None
    _last_setpoint: float | None = None
    _armed_at: float = 0.0
    landed: bool = True  # as its landing detector sees it
    _standing_since: float | None = None  # without thrust, None in the air
    _took_off: bool = False

    def take_setpoint(self, now: float) -> None:
        """Note that a setpoint came: its stream proves that somebody is there."""
        if not self.streams(now):
            self._first_setpoint = now
        self._last_setpoint = now

    def streams(self, now: float) -> bool:
        """Whether setpoints come."""
        last = self._last_setpoint
        return last is not None and now - last <= self.parameters["COM_OF_LOSS_T"]

    def request_mode(self, custom_mode: int, now: float) -> int:
        """Change the mode, and return the answer."""
        if custom_mode not in list(Mode):
            return UNSUPPORTED
        if custom_mode == Mode.OFFBOARD and (self.refuses_offboard or not self._has_streamed(now)):
            return TEMPORARILY_REJECTED
        self.mode, self.failsafe = Mode(custom_mode), False
        return ACCEPTED

    def request_arming(self, now: float) -> int:
        """Arm, and return the answer."""
        if self.prearm_failure:
            self.texts.append(self.prearm_failure)
            self.texts.append("Arming denied! Resolve system health failures first")
            return TEMPORARILY_REJECTED
        if self.mode is Mode.OFFBOARD and not self._has_streamed(now):
            self.texts.append("Arming denied! Offboard control signal lost")
            return TEMPORARILY_REJECTED
        if not self.armed:
            self.armed, self._armed_at, self._took_off = True, now, False
        return ACCEPTED

    def request_disarming(self, *, force: bool) -> int:
        """Disarm, and return the answer."""
        if self.armed and not force and not self.landed:
            self.texts.append(NOT_LANDED)
            return DENIED
        self.armed = self.failsafe = False
        return ACCEPTED

    def watch(self, now: float, *, on_ground: bool, thrust: bool) -> None:
        """Notice what only time brings: lost setpoints, landings, forgotten arming."""
        if self.mode is Mode.OFFBOARD and not self.streams(now):
            self.mode, self.failsafe = Mode.POSCTL, self.armed
        if on_ground and not (self.armed and thrust):
            since = self._standing_since
            self._standing_since = now if since is None else since
        else:
            self._standing_since = None
            self._took_off |= self.armed and not on_ground
        standing = 0.0 if self._standing_since is None else now - self._standing_since
        # what never left the ground need not be seen to come back
        self.landed = standing > LANDING_TIME or (not self._took_off and standing > 0.0)
        if self.armed and self.landed:
            self._disarm_in_time(now, standing)

    def _disarm_in_time(self, now: float, standing: float) -> None:
        name = "COM_DISARM_LAND" if self._took_off else "COM_DISARM_PRFLT"
        waited = standing if self._took_off else now - self._armed_at
        if waited > self.parameters[name]:
            self.request_disarming(force=True)

    def _has_streamed(self, now: float) -> bool:
        first = self._first_setpoint
        return self.streams(now) and first is not None and now - first > STREAM_TIME
