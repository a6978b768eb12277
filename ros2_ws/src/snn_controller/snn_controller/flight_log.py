"""What a flight leaves behind, tick by tick, in memory; `report` and `plot` read it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snn_controller.state import Reference, State


@dataclass(frozen=True)
class Tick:
    """One control tick: what came in, what was decided, what went out."""

    time: float  # s since the flight began, from the odometry's stamps
    mode: str  # the state machine's mode after the tick
    verdict: str  # why the policy is not in control, "" while all is well
    state: State
    reference: Reference
    command: NDArray[np.float64]  # (4,) throttle or thrust and rates; zeros when stopped
    spikes: dict[str, NDArray[np.bool_]] = field(default_factory=dict)  # layer -> (neurons,)
    membranes: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # layer -> (neurons,)
    synaptic_ops: int = 0
    missed: int = 0  # control periods without odometry just before this tick


@dataclass
class FlightLog:
    """Ticks in order, with the wall-clock timing that the node measures around each."""

    ticks: list[Tick] = field(default_factory=list)
    periods: list[float] = field(default_factory=list)  # s of wall time between ticks
    latencies: list[float] = field(default_factory=list)  # s from odometry in to command out

    def append(self, tick: Tick) -> None:
        """Add one tick."""
        self.ticks.append(tick)

    def append_timing(self, *, period: float | None, latency: float) -> None:
        """Add the wall-clock timing of the latest tick in s; the first tick has no period."""
        if period is not None:
            self.periods.append(period)
        self.latencies.append(latency)
