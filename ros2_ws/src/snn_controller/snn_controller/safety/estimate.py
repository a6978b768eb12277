"""The guard of the state estimate: each sample by itself, against the one before, over time."""

from __future__ import annotations

from snn_controller.safety.limits import Limits
from snn_controller.safety.motion import MotionGuard
from snn_controller.safety.odometry import check_jump, check_odometry
from snn_controller.safety.verdicts import Verdict
from snn_controller.vehicle import GRAVITY, Odometry

# rad of rolling and pitching, by body rates that go on, that cannot leave the velocity as it was
TURN_EVIDENCE = 0.05
MAX_PERIOD = 0.1  # s between two samples over which body rates are counted


class FreezeWatch:
    """Knows for how long position and velocity, and the whole state, have been the same."""

    def __init__(self, limits: Limits) -> None:
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
        self._turned += _turn(before, sample)
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


def _turn(before: Odometry, sample: Odometry) -> float:
    """Return how far the drone has rolled and pitched by its body rates, in rad."""
    seconds = min(max((sample.stamp - before.stamp) * 1e-9, 0.0), MAX_PERIOD)
    roll, pitch, _ = sample.state.body_rates.tolist()
    return (abs(roll) + abs(pitch)) * seconds


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
