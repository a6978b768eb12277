"""When a policy ticks: odometry stamps decimated to the policy's own rate."""

from __future__ import annotations

# How early a stamp still counts as due: never so early that the next sample would be nearer to it.
EARLY_SHARE = 0.5  # of the policy's period, and of the interval between samples
# Share of a tick's deviation by which the plan follows it. The first sample may have come late: a
# plan that kept its phase would find every second one too early, for ever.
FOLLOWED_SHARE = 0.05


class TickSchedule:
    """Decides from odometry stamps whether a tick is due and how many were missed."""

    def __init__(self, rate: float) -> None:
        """Plan ticks at `rate` Hz."""
        self._period = round(1e9 / rate)
        self._next: int | None = None
        self._previous: int | None = None

    def due(self, stamp: int) -> int | None:
        """Return None while it is too early at a stamp in ns, else the periods missed before it."""
        if self._next is None or self._previous is None:
            self._next = self._previous = stamp
        lead, interval = self._next - stamp, stamp - self._previous
        self._previous = stamp
        if lead > EARLY_SHARE * min(self._period, interval):
            return None
        missed = max(0, round(-lead / self._period))
        deviation = lead + missed * self._period
        self._next += (missed + 1) * self._period - round(FOLLOWED_SHARE * deviation)
        return missed
