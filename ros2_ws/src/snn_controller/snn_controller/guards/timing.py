"""Whether the policy ticks at the rate that it was trained at, on odometry that is fresh."""

from __future__ import annotations

from collections import deque

from snn_controller.guards.limits import Limits
from snn_controller.guards.verdicts import Verdict

TIMING_WINDOW = 1.0  # s


class TimingGuard:
    """Judges the control periods of the last second, once a second has passed."""

    def __init__(self, limits: Limits, rate: float) -> None:
        """Judge a policy that ticks at `rate` Hz."""
        self._limits = limits
        self._rate = rate
        self._ticks = max(1, round(TIMING_WINDOW * rate))
        self._missed: deque[int] = deque(maxlen=self._ticks)
        self._late: deque[int] = deque(maxlen=self._ticks)

    def add(self, missed: int, age: float) -> None:
        """Take in a tick, the periods missed before it, and the age of its odometry in s."""
        self._missed.extend([1] * min(missed, self._ticks) + [0])
        self._late.append(int(age > self._limits.max_tick_age))

    def check(self) -> Verdict | None:
        """Say whether too many ticks were missed or late, or None."""
        if len(self._missed) < self._ticks:
            return None
        share, limit = self._missed.count(1) / self._ticks, self._limits.max_missed_share
        if share > limit:
            return Verdict(
                "rate",
                f"{share:.0%} of the ticks were missed: odometry comes at"
                f" {self._rate * (1.0 - share):.0f} Hz, slower than the policy's {self._rate:g} Hz",
            )
        share = self._late.count(1) / self._ticks
        if share > limit:
            age = self._limits.max_tick_age * 1e3
            return Verdict(
                "late", f"{share:.0%} of the ticks came on odometry older than {age:.0f} ms"
            )
        return None
