"""What a flight is asked to do, and its time.

Time is told by the odometry's stamps, and by the own clock while none comes. Odometry that was held
back is older than the silence that went before it. Time does not go back then; it goes on from
where the silence had come to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from snn_controller.control import Task
from snn_controller.vehicle import Array


@dataclass(frozen=True)
class FlightPlan:
    """What to fly, where and for how long."""

    task: Task
    duration: float  # s that the policy is in control
    hover_point: Array = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))  # m
    # m; where a standing drone's centre is higher than a small one's (backup.py), so is this
    ground_height: float = 0.0
    descent_time: float = 2.0  # s of level descent without odometry before the motors stop
    auto_start: bool = True  # arm and fly on the first odometry, in the air too
    from_ground: bool = False  # the drone begins and ends on the ground, whatever the task
    has_pilot: bool = False  # somebody is there to whom the drone can be left

    @property
    def lands(self) -> bool:
        """Whether the flight begins and ends on the ground."""
        return self.task.from_ground or self.from_ground or not self.auto_start


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


class FlightClock:
    """Knows how long a flight has lasted, and which stamp that is. Stamps and times are ns."""

    def __init__(self, period: float, longest_gap: float) -> None:
        """Begin at zero.

        Args:
            period: s of one control period.
            longest_gap: s without odometry that the own clock can have counted rightly; a clock
                that has jumped counts as one control period.
        """
        self.seconds = 0.0  # since the first odometry
        self.stamp = 0  # of the newest odometry, or what it would be now where none has come
        self._period = period
        self._longest_gap = longest_gap
        self._origin: int | None = None  # stamp at which the seconds are zero
        self._now = 0  # when time was last told

    def follow(self, stamp: int, now: int) -> None:
        """Go on to odometry with a stamp, which has come now."""
        seconds = 0.0 if self._origin is None else (stamp - self._origin) * 1e-9
        if self._origin is None or seconds < self.seconds:
            self._origin = stamp - round(self.seconds * 1e9)
        else:
            self.seconds = seconds
        self.stamp, self._now = stamp, now

    def elapse(self, now: int) -> None:
        """Let time pass without odometry, once there has been one."""
        seconds, self._now = (now - self._now) * 1e-9, now
        if self._origin is None:
            return
        if not 0.0 <= seconds <= self._longest_gap:
            seconds = self._period
        self.seconds += seconds
        self.stamp += round(seconds * 1e9)
