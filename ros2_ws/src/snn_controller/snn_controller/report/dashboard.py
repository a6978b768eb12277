"""The line that tells how a flight goes while it flies: state, error, spikes, work, latency.

Short, so that it fits a terminal of 80 columns while all is well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snn_controller.flight_log import FlightLog, Tick
from snn_controller.report.survival import POLICY_MODE, RESTING_MODES

WINDOW = 100  # ticks that figures look back on
LONGEST_REASON = 60  # characters of a verdict


def dashboard_line(log: FlightLog, duration: float, since: float = 0.0) -> str:
    """Return one line about the latest ticks of a flight.

    The last two numbers are the latency's p50 and p99.

    Args:
        log: The flight so far.
        duration: Time in s that the policy is to fly.
        since: When the present state was entered, s since the flight began.
    """
    if not log.ticks:
        return "waiting for the first tick"
    tick, ticks = log.ticks[-1], log.ticks[-WINDOW:]
    parts = [
        _time(tick, duration, since),
        tick.mode,
        tick.verdict[:LONGEST_REASON],
        _error(tick),
        *_neurons([x for x in ticks if x.spikes] if tick.spikes else []),
        _latency(log.latencies[-WINDOW:]),
    ]
    return "  ".join(part for part in parts if part)


def fit(line: str, width: int) -> str:
    """Return a line that leaves the last of `width` columns free, so that no terminal wraps it."""
    return line if len(line) < width else f"{line[: max(width - 4, 0)]}..."


def _time(tick: Tick, duration: float, since: float) -> str:
    """Say how much of its time the policy has flown, else how long the flight has taken."""
    if tick.mode == POLICY_MODE:
        return f"{max(tick.time - since, 0.0):.1f}/{duration:g} s"
    return f"{tick.time:.1f} s"


def _error(tick: Tick) -> str:
    if tick.mode in RESTING_MODES:
        return ""  # nothing is asked of the drone
    error = float(np.linalg.norm(tick.state.position - tick.reference.position))
    return f"error {error:.3f} m" if np.isfinite(error) else "error unknown"


def _neurons(ticks: Sequence[Tick]) -> list[str]:
    """Say what share of the neurons fired, and what that cost, in ticks in which they ran."""
    if not ticks:
        return []
    layers = " ".join(
        f"{np.mean([tick.spikes[layer].mean() for tick in ticks]):.0%}"
        for layer in ticks[-1].spikes
    )
    work = np.mean([tick.synaptic_ops for tick in ticks])
    return [f"spikes {layers}", f"{work:,.0f} ops/tick"]


def _latency(seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    p50, p99 = np.percentile(np.array(seconds) * 1e3, (50.0, 99.0))
    return f"{p50:.2f}/{p99:.2f} ms"
