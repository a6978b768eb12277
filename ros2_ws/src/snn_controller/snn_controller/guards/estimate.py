"""The guard of the state estimate: each sample by itself, against the one before, over time."""

from __future__ import annotations

from snn_controller.frames import GRAVITY
from snn_controller.guards.freeze import FreezeWatch
from snn_controller.guards.limits import Limits
from snn_controller.guards.motion import MotionGuard
from snn_controller.guards.odometry import check_jump, check_odometry
from snn_controller.guards.verdicts import Verdict
from snn_controller.state import Odometry

# m/s^2 by which the rotors of a drone that takes off outdo gravity when it must move: more than
# what a thrust that is a tenth off leaves standing
SURE_LIFT = 1.0


class EstimateGuard:
    """Remembers the newest sample that could be trusted by itself."""

    def __init__(self, limits: Limits) -> None:
        """Begin without samples."""
        self._limits = limits
        self._motion = MotionGuard()
        self._freeze = FreezeWatch(limits)
        self._before: Odometry | None = None
        self._moved: Odometry | None = None  # the newest that was not said before
        self._jumped = False
        self._misfit: Verdict | None = None  # between the samples so far
        self._unsettled: tuple[Odometry, Odometry, float | None] | None = None

    def check(
        self, sample: Odometry, now: int, *, thrust: float | None, airborne: bool = False
    ) -> Verdict | None:
        """Take in a sample and say why it cannot be flown on, or None.

        Args:
            sample: The odometry.
            now: Present time in ns on the clock that stamped it.
            thrust: What the rotors of a drone that takes off give in m/s^2 per mass, else None.
            airborne: Whether the drone flies by our commands, so that it cannot stand still.
        """
        self.settle()
        verdict = check_odometry(sample, now, self._limits)
        if verdict is None and self._before is not None:
            verdict = self._check_jump(self._before, sample)
        if verdict is not None:
            return verdict
        self._before = sample
        self._note_motion(sample, thrust)
        return self._check_freeze(sample, thrust, airborne=airborne) or self._misfit

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
