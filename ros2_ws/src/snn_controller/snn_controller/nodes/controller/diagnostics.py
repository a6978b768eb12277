"""Health of the controller as diagnostic_msgs: mode, timing percentiles, spikes, operations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from snn_controller.flight import Flight
from snn_controller.flight_log import FlightLog, Tick
from snn_controller.nodes.ros.conversions import ns_to_stamp

WINDOW = 100  # ticks that percentiles and rates look back on


def diagnose(flight: Flight, name: str, now: int) -> DiagnosticArray:
    """Return the statuses of a flight at a time in ns."""
    ticks = flight.log.ticks[-WINDOW:]
    array = DiagnosticArray(
        status=[_mode(flight, name), _timing(flight.log, ticks, name), _neurons(ticks, name)]
    )
    array.header.stamp = ns_to_stamp(now)
    return array


def _mode(flight: Flight, name: str) -> DiagnosticStatus:
    bad = flight.verdict is not None
    reason = flight.verdict.reason if flight.verdict else "ok"
    tick = flight.log.ticks[-1] if flight.log.ticks else None
    error = math.nan
    if tick is not None:
        error = float(np.linalg.norm(tick.state.position - tick.reference.position))
    return _status(
        f"{name}: flight",
        DiagnosticStatus.ERROR if bad else DiagnosticStatus.OK,
        f"{flight.mode.value}: {reason}",
        {"time_s": flight.time, "position_error_m": error},
    )


def _timing(log: FlightLog, ticks: Sequence[Tick], name: str) -> DiagnosticStatus:
    missed = sum(tick.missed for tick in ticks)
    level = DiagnosticStatus.WARN if missed else DiagnosticStatus.OK
    values = {
        **_percentiles("tick_period_ms", log.periods[-WINDOW:]),
        **_percentiles("latency_ms", log.latencies[-WINDOW:]),
        "missed_ticks": missed,
    }
    return _status(f"{name}: timing", level, f"{missed} missed ticks", values)


def _neurons(ticks: Sequence[Tick], name: str) -> DiagnosticStatus:
    flown = [tick for tick in ticks if tick.spikes]
    values = {
        f"spike_rate_{layer}": float(np.mean([tick.spikes[layer].mean() for tick in flown]))
        for layer in (flown[0].spikes if flown else ())
    }
    values["synaptic_ops_per_tick"] = (
        float(np.mean([tick.synaptic_ops for tick in flown])) if flown else 0.0
    )
    return _status(f"{name}: neurons", DiagnosticStatus.OK, "ok", values)


def _percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return {f"{name}_p50": p50, f"{name}_p99": p99, f"{name}_max": max(seconds) * 1e3}


def _status(name: str, level: bytes, message: str, values: dict[str, float]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=f"{value:.6g}") for key, value in values.items()]
    return DiagnosticStatus(name=name, hardware_id=name, level=level, message=message, values=pairs)
