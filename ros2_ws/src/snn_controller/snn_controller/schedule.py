"""When a policy ticks: odometry stamps decimated to the policy's own rate."""

from __future__ import annotations

from collections import deque

# How early a stamp still counts as due, so that jitter does not drop a tick: this share of the
# policy's period, and never so early that the next sample would be nearer to it.
EARLY_SHARE = 0.25


class TickSchedule:
    """Decides from odometry stamps whether a tick is due and how many were missed."""

    def __init__(self, rate: float, *, window: float = 1.0) -> None:
        """Plan ticks at `rate` Hz and remember misses over `window` seconds."""
        self._period = round(1e9 / rate)
        self._next: int | None = None
        self._previous: int | None = None
        self._missed: deque[int] = deque(maxlen=max(1, round(window * rate)))

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
        self._missed.extend([1] * min(missed, self._missed.maxlen or 1) + [0])
        return missed

    @property
    def missed_share(self) -> float:
        """Share of missed periods in the window, 0 until the window has filled."""
        if len(self._missed) < (self._missed.maxlen or 1):
            return 0.0
        return self._missed.count(1) / len(self._missed)
