"""When a policy ticks: odometry stamps decimated to the policy's own rate."""

from __future__ import annotations

# How early a stamp still counts as due, so that jitter does not drop a tick: this share of the
# policy's period, and never so early that the next sample would be nearer to it.
EARLY_SHARE = 0.25


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
        if lead > min(EARLY_SHARE * self._period, interval / 2.0):
            return None
        missed = max(0, round(-lead / self._period))
        self._next += (missed + 1) * self._period
        return missed
