"""Tests that go by the wall clock, on a machine that may be busy: where it was, a failure says so.

A test that fails is skipped only where the machine had no time for it, with what was measured as
the reason. A test that passes has passed: nothing is passed over without its checks.
"""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from snn_sim.doubles.crazyflie.udp_vehicle import CrazyflieDouble

LATEST = 0.01  # s that a step of a vehicle may be late
LOOK_PERIOD = 0.5  # s between looks at the cores
MOST_BUSY = 0.95  # share of a look that the cores may work: above, something had to wait
MOST_FULL = 0.2  # share of the looks that may find them so: programs that start take some


class Load:
    """How busy the cores of this process are, look by look, by what the kernel counts."""

    def __init__(self) -> None:
        self._looks: list[float] = []  # share of the time that was work
        self._before = _core_times()
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def full(self) -> float:
        """Share of the looks that found no core idle."""
        return sum(x > MOST_BUSY for x in self._looks) / max(len(self._looks), 1)

    def overload(self) -> str:
        """Return what was measured where there was too little time, else an empty text."""
        if self.full > MOST_FULL:
            return f"no core was idle for {self.full:.0%} of {len(self._looks)} looks"
        return ""

    def stop(self) -> None:
        """Look a last time."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_PERIOD):
            self._look()
        self._look()

    def _look(self) -> None:
        now = _core_times()
        idle, whole = (b - a for a, b in zip(self._before, now, strict=True))
        if whole > 0:
            self._looks.append(1.0 - idle / whole)
            self._before = now


def _core_times() -> tuple[int, int]:
    """Return idle and whole time of the cores that this process may use, in ticks."""
    stat = Path("/proc/stat")
    if not stat.exists():  # another system: no failure is excused there
        return 0, 0
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    rows = [line.split() for line in stat.read_text().splitlines()]
    times = [[int(x) for x in row[1:9]] for row in rows if row[0] in mine]
    return sum(row[3] + row[4] for row in times), sum(map(sum, times))


@contextmanager
def excused_by_overload() -> Iterator[Load]:
    """Skip what fails inside where this machine was too busy for it."""
    CrazyflieDouble.latest = 0.0
    load = Load()
    try:
        yield load
    except (AssertionError, pytest.fail.Exception) as error:
        load.stop()
        reasons = [load.overload()]
        if CrazyflieDouble.latest > LATEST:
            reasons.append(f"the vehicle was {CrazyflieDouble.latest:.2f} s late")
        if any(reasons):
            what = " and ".join(reason for reason in reasons if reason)
            pytest.skip(f"this machine is too busy: {what}; then {_first_line(error)}")
        raise
    finally:
        load.stop()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["an assertion failed"])[0][:200]


def in_real_time(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that goes by the wall clock; skip it where it fails for want of time.

    The collector of garbage is off meanwhile, as it is in flight: it stops for 0.8 s, in which
    the odometry of a vehicle that is already there would grow stale.
    """

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        gc.disable()
        try:
            with excused_by_overload():
                test(*args, **kwargs)
        finally:
            gc.enable()

    return pytest.mark.realtime(run)
