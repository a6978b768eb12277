"""An estimator that repeats itself: stamps that go on, and a state that has stopped.

Nothing that flies stands still to the last bit: noise, wind or rounding move it. A bridge that has
lost its tracker and sends the last pose again does.
"""

from __future__ import annotations

from snn_controller.guards.limits import Limits
from snn_controller.guards.verdicts import Verdict
from snn_controller.state import Odometry

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
