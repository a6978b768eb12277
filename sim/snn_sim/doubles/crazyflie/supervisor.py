"""The supervisor of a Crazyflie's firmware: who may turn the motors, and what silence leads to."""

from __future__ import annotations

from enum import Enum

LEVEL_AGE = 500  # ms, age of the setpoint above which the vehicle levels
STOP_AGE = 2000  # ms, above which the motors stop and the vehicle locks
FLYING_TIME = 2000  # ms after the last thrust in which it still counts as flying
TILT_TIME = 1000  # ms of less than half a g along body z that count as tumbled
UPSIDE_DOWN_TIME = 100  # ms


class Phase(Enum):
    """States of the supervisor that matter here; the spin-up of brushless motors is left out."""

    NOT_READY = "not ready"
    READY_TO_ARM = "ready to arm"
    READY = "ready to fly"
    FLYING = "flying"
    LEVEL = "levelling"
    LANDED = "landed"
    CRASHED = "crashed"
    LOCKED = "locked"


MOTORS_ALLOWED = frozenset({Phase.READY, Phase.FLYING, Phase.LEVEL, Phase.LANDED})


class Supervisor:
    """Advances once a millisecond or less often; times in ms since the start."""

    def __init__(self, *, auto_arming: bool) -> None:
        """Begin disarmed. With `auto_arming` (Crazyflie 2.x) nobody has to ask for arming."""
        self.phase = Phase.NOT_READY
        self.armed = False
        self.tumbled = False
        self._auto_arming = auto_arming
        self._emergency = False
        self._last_thrust: int | None = None
        self._tilted_since: int | None = None

    @property
    def may_fly(self) -> bool:
        """Whether the motors may turn."""
        return self.phase in MOTORS_ALLOWED

    def arm(self, wanted: bool) -> bool:
        """Take a request to arm or disarm and say whether it was granted."""
        if wanted and not self.armed and self.phase is not Phase.READY_TO_ARM:
            return False
        self.armed = wanted
        return True

    def stop(self) -> None:
        """Take an emergency stop."""
        self._emergency = True

    def info(self) -> int:
        """Return the bits of the log variable `supervisor.info`."""
        flying = self.phase in (Phase.FLYING, Phase.LEVEL)
        bits = (
            self.phase is Phase.READY_TO_ARM,
            self.armed,
            self._auto_arming,
            self.may_fly,
            flying,
            self.tumbled,
            self.phase is Phase.LOCKED,
            self.phase is Phase.CRASHED,
        )
        return sum(1 << i for i, bit in enumerate(bits) if bit)

    def update(self, now: int, *, age: int, thrust: bool, upward: float) -> None:
        """Advance to `now`.

        Args:
            now: Time in ms.
            age: Age of the setpoint in ms.
            thrust: Whether the motors turn.
            upward: Acceleration along body z in g, as the accelerometer has it.
        """
        if thrust:
            self._last_thrust = now
        recent = self._last_thrust is not None and now - self._last_thrust < FLYING_TIME
        self._watch_tilt(now, upward)
        self.phase = self._next(age, recent)
        if self.phase not in MOTORS_ALLOWED:
            self.armed = self.phase is Phase.READY_TO_ARM and self._auto_arming

    def _watch_tilt(self, now: int, upward: float) -> None:
        if upward >= 0.5 or abs(upward) < 0.1:  # upright, or falling freely
            self._tilted_since, self.tumbled = None, False
            return
        if self._tilted_since is None:
            self._tilted_since = now
        patience = UPSIDE_DOWN_TIME if upward < -0.2 else TILT_TIME
        self.tumbled = now - self._tilted_since > patience

    def _next(self, age: int, recent: bool) -> Phase:
        phase = self.phase
        if phase is Phase.LOCKED or self._emergency:
            return Phase.LOCKED
        if phase in (Phase.NOT_READY, Phase.READY_TO_ARM):
            return self._on_ground()
        if phase is Phase.CRASHED:
            return phase
        if not self.armed or (self.tumbled and phase is Phase.READY):
            return Phase.NOT_READY
        if phase is Phase.READY:
            return Phase.FLYING if recent else phase
        if phase is Phase.LANDED:
            return Phase.FLYING if recent else phase
        if age > STOP_AGE:
            return Phase.LOCKED
        if self.tumbled:
            return Phase.LOCKED if phase is Phase.LEVEL else Phase.CRASHED
        if age > LEVEL_AGE:
            return Phase.LEVEL
        return Phase.FLYING if recent else Phase.LANDED

    def _on_ground(self) -> Phase:
        if self.tumbled:
            return Phase.NOT_READY
        if self.phase is Phase.NOT_READY:
            return Phase.READY_TO_ARM
        return Phase.READY if self.armed else Phase.READY_TO_ARM
