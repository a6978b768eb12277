"""A vehicle's clock on ours: its stamps become times of the node. Nanoseconds."""

from __future__ import annotations

from collections import deque

# Round trips that are remembered, of which the quickest counts: few, because a simulator that is
# too slow for real time has a clock that runs away.
SAMPLES = 8
RESTART = 1_000_000_000  # ns that a clock must go back to count as started anew


class VehicleClock:
    """Follows the vehicle's clock by TIMESYNC, or by the least late stamps where none answers."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._asked: int | None = None
        self._trips: deque[tuple[int, int]] = deque(maxlen=SAMPLES)  # (duration, offset)
        self._delays: deque[int] = deque(maxlen=SAMPLES * 32)  # ours minus the vehicle's
        self._newest = 0

    def ask(self, now: int) -> int:
        """Return the time to send in a TIMESYNC request."""
        self._asked = now
        return now

    def answer(self, vehicle: int, asked: int, now: int) -> None:
        """Take in an answer: the vehicle's time, and ours when we asked."""
        if asked != self._asked or vehicle <= 0:  # an answer to somebody else, or twice
            return
        self._asked = None
        duration = now - asked
        if duration >= 0:
            self._trips.append((duration, now - duration // 2 - vehicle))

    def to_node(self, stamp: int, now: int) -> int:
        """Return our time for a stamp of the vehicle's, never later than now."""
        if stamp < self._newest - RESTART:  # the vehicle has started anew
            self._trips.clear()
            self._delays.clear()
            self._newest = stamp
        self._newest = max(self._newest, stamp)
        self._delays.append(now - stamp)
        offset = min(self._trips)[1] if self._trips else min(self._delays)
        return min(stamp + offset, now)
