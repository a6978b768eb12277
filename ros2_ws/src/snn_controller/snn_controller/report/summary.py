"""What a flight comes to: figures from its log, a strict JSON file and one screen of text.

Every figure is a pure function of the log and of the facts that the log does not hold. The facts
of a flight that begins are one JSON object more, whose keys docs/interfaces.md lists.
`docs/flight_report.md` says what each key means.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

import snn_controller
from snn_controller.flight import TOUCHDOWN_HEIGHT, ControllerSettings, Flight
from snn_controller.flight_log import (
    MODES,
    REPORT_FILE,
    REPORT_VERSION,
    TICK_VERSION,
    TICKS_FILE,
    FlightColumns,
    FlightLog,
    columns,
    pack_ticks,
)
from snn_controller.policy import TARGETS, NetworkSize, Policy, network_size, tick_energies
from snn_controller.report.series import ACTION_UNITS, position_error
from snn_controller.report.survival import POLICY_MODE, FlightBounds, find_failure
from snn_controller.system import write_atomically
from snn_controller.vehicle import ActionKind

SETTLING_TIME = 2.0  # s of policy flight that the RMS error leaves out
STEADY_SHARE = 0.25  # of the policy's time that counts as steady, from its end backwards
STEADY_TIME = 5.0  # s, at most
DECIMALS = 6
# Distributions that may hold a part; the wheels of ROS 2 have names of their own.
_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime",),
    "rclpy": ("ros-rclpy", "rclpy"),
    "pybullet": ("pybullet",),
}
_ERROR_NAMES = {"RMS": "position_rmse_m", "steady": "steady_error_m", "largest": "max_error_m"}
INFO_VERSION = 1
SECRETS = ("signing_key",)  # where a key lies is nobody's business


@dataclass(frozen=True)
class FlightFacts:
    """What a report says beyond the ticks."""

    task: str
    bounds: FlightBounds
    seed: int | None = None
    policy: str | None = None  # file that flew, None when the guide did
    policy_sha256: str | None = None
    network: NetworkSize | None = None  # of the policy, None when the guide flew
    action_kind: ActionKind = "motors"
    link: str = "sim"
    lockstep: bool = False


def summarise(log: FlightLog, facts: FlightFacts) -> dict[str, Any]:
    """Return the report of a flight: JSON types only, None where a figure has no value."""
    with np.errstate(all="ignore"):  # a crash may hold any number
        return _summarise(log, facts)


def _summarise(log: FlightLog, facts: FlightFacts) -> dict[str, Any]:
    flight = columns(log)
    failure = find_failure(flight, facts.bounds)
    return {
        "report_version": REPORT_VERSION,
        "survived": failure is None,
        "failure": failure,
        "task": facts.task,
        "seed": facts.seed,
        "asked_duration_s": _number(facts.bounds.duration),
        "duration_s": _number(flight.time[-1]) if flight.time.size else 0.0,
        **_errors(flight),
        "ticks": max(log.count, len(log.ticks)),
        "missed_ticks": int(flight.missed.sum()),
        "tick_period_ms": _percentiles(log.periods),
        "latency_ms": _percentiles(log.latencies),
        **_spiking(flight),
        **_energy(flight, facts.network),
        "action_kind": facts.action_kind,
        "action_step": _action_step(flight, facts.action_kind),
        "policy": facts.policy,
        "policy_sha256": facts.policy_sha256,
        "modes": _modes(flight),
        "motion_sha256": motion_hash(flight),
        "link": facts.link,
        "lockstep": facts.lockstep,
        "versions": versions(),
    }


def motion_hash(flight: FlightColumns) -> str:
    """Return the SHA-256 over positions, attitudes and commands: the flight's fingerprint."""
    digest = hashlib.sha256()
    for values in (flight.position, flight.quaternion, flight.command):
        # adding zero turns -0 into 0, and one NaN stands for all: equal numbers, equal bytes
        plain = np.where(np.isnan(values), np.nan, values + 0.0)
        digest.update(np.ascontiguousarray(plain, dtype="<f8").tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what flew; parts that are not installed are left out."""
    found = {"python": platform.python_version(), "snn_controller": snn_controller.__version__}
    for part, distributions in _DISTRIBUTIONS.items():
        for distribution in distributions:
            with suppress(metadata.PackageNotFoundError):
                found.setdefault(part, metadata.version(distribution))
    return found


def write_report(folder: Path, report: Mapping[str, Any], log: FlightLog) -> Path:
    """Write `report.json`, and any ticks as `flight.npz`; return the report's path.

    The report appears whole or not at all, and after the ticks: where it is, they are.

    Raises:
        UserError: The folder cannot be written.
    """
    if log.ticks:
        write_atomically(folder / TICKS_FILE, pack_ticks(log))
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    return write_atomically(folder / REPORT_FILE, text.encode())


def format_summary(report: Mapping[str, Any]) -> str:
    """Return one screen of text that says how the flight went."""
    verdict = "SURVIVED" if report["survived"] else "DID NOT SURVIVE"
    lockstep = ", lockstep" if report["lockstep"] else ""
    duration = _cells({"": report["duration_s"]}, 2, " s")
    modes = (f"{x['mode']} from{_cells({'': x['time_s']}, 2, ' s')}" for x in report["modes"])
    rates = {name: 100.0 * x for name, x in report["spike_rate"].items() if x is not None}
    rows = {
        "failure": report["failure"],
        "policy": _policy_name(report),
        "flown": f"{duration}, {report['ticks']} ticks, {report['missed_ticks']} missed",
        "position error": _cells({k: report[v] for k, v in _ERROR_NAMES.items()}, 3, " m"),
        "tick period": _cells(report["tick_period_ms"], 2, " ms"),
        "latency": _cells(report["latency_ms"], 2, " ms"),
        "spike rate": _cells(rates, 1, " %"),
        "synaptic ops": _cells({"": report["synaptic_ops_per_tick"]}, 0, " a tick"),
        "energy": _energy_cells(report),
        "action step": _cells({"": report["action_step"]}, 4, " mean"),
        "modes": ", ".join(modes),
        "motion": report["motion_sha256"][:12],
    }
    lines = [f"  {name:<15} {text.strip()}" for name, text in rows.items() if text]
    return "\n".join([f"{verdict}: {report['task']} ({report['link']}{lockstep})", *lines])


def _policy_name(report: Mapping[str, Any]) -> str:
    if report["policy"] is None:
        return "none, the guide flew"
    return f"{report['policy']} ({(report['policy_sha256'] or 'no hash')[:12]})"


def _energy_cells(report: Mapping[str, Any]) -> str:
    known = {
        k: f"{k} {x:,.0f} nJ" for k, x in report["energy_nj_per_tick"].items() if x is not None
    }
    return ", ".join(known.values()) + " a tick" if known else ""


def _cells(values: Mapping[str, float | None], decimals: int, unit: str = "") -> str:
    """Return named numbers side by side in columns; those without a value are left out."""
    known = {name: f"{x:,.{decimals}f}{unit}" for name, x in values.items() if x is not None}
    return "".join(f"{name} {text}".ljust(20) for name, text in known.items()).rstrip()


def _errors(flight: FlightColumns) -> dict[str, float | None]:
    """Return the error figures over the ticks in which the policy was in control."""
    distance = np.linalg.norm(position_error(flight), axis=1)
    flown = (flight.mode == POLICY_MODE) & np.isfinite(distance)
    time, distance = flight.time[flown], distance[flown]
    if not time.size:
        return dict.fromkeys(("position_rmse_m", "steady_error_m", "max_error_m"))
    settled = time >= time[0] + SETTLING_TIME
    steady = time >= time[-1] - min(STEADY_TIME, STEADY_SHARE * (time[-1] - time[0]))
    square = _mean(distance[settled] ** 2)
    return {
        "position_rmse_m": None if square is None else _number(math.sqrt(square)),
        "steady_error_m": _number(_mean(distance[steady])),
        "max_error_m": _number(distance.max()),
    }


def _spiking(flight: FlightColumns) -> dict[str, Any]:
    """Return spike rates and synaptic operations over the ticks in which the network ran."""
    ran = flight.network_ran
    return {
        "spike_rate": {layer: _number(_mean(x[ran])) for layer, x in flight.spikes.items()},
        "synaptic_ops_per_tick": _number(_mean(flight.synaptic_ops[ran])),
    }


def _energy(flight: FlightColumns, network: NetworkSize | None) -> dict[str, Any]:
    """Return what the policy's ticks would cost on each target, None where nothing is known."""
    ticks: dict[str, Any] = dict.fromkeys(TARGETS, np.empty(0))
    operations = flight.synaptic_ops[flight.mode == POLICY_MODE].astype(np.float64)
    if network is not None and operations.size:
        ticks = tick_energies(cast(Any, operations), network)
    return {
        "network": None if network is None else asdict(network),
        "energy_nj_per_tick": {target: _number(_mean(x)) for target, x in ticks.items()},
        "energy_j": {
            target: float(f"{1e-9 * x.sum():.6g}") if x.size else None
            for target, x in ticks.items()
        },
    }


def _action_step(flight: FlightColumns, kind: ActionKind) -> float | None:
    """Return mean |a_t - a_(t-1)| over neighbouring ticks of the policy and the four actions."""
    flown = flight.mode == POLICY_MODE
    steps = np.diff(flight.command / ACTION_UNITS[kind], axis=0)
    return _number(_mean(np.abs(steps[flown[1:] & flown[:-1]])))


def _modes(flight: FlightColumns) -> list[dict[str, Any]]:
    """Return when the mode changed, or a verdict came or went, in order of time."""
    entries: list[dict[str, Any]] = []
    before: tuple[str, bool] | None = None
    for time, mode, verdict in zip(flight.time, flight.mode, flight.verdict, strict=True):
        now = (str(mode), bool(verdict))
        if now != before:
            entries.append({"time_s": _number(time), "mode": now[0], "verdict": str(verdict)})
        before = now
    return entries


def _percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p99 and max in ms of durations in s."""
    values = np.asarray(seconds, dtype=np.float64) * 1e3
    values = values[np.isfinite(values)]
    if not values.size:
        return dict.fromkeys(("p50", "p99", "max"))
    p50, p99 = np.percentile(values, (50.0, 99.0))
    return {"p50": _number(p50), "p99": _number(p99), "max": _number(values.max())}


def _mean(values: NDArray[Any]) -> float | None:
    """Return the mean of the finite values, None if there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if finite.size else None


def _number(value: ArrayLike | None) -> float | None:
    """Return a rounded JSON number, None for what JSON cannot hold."""
    if value is None or not np.isfinite(value):
        return None
    return round(float(np.asarray(value)), DECIMALS)


def report_flight(flight: Flight, settings: ControllerSettings) -> dict[str, Any]:
    """Return the report of a flown flight."""
    facts = FlightFacts(
        task=settings.task,
        bounds=FlightBounds(
            duration=0.0 if flight.landed_on_request else settings.duration,
            lands=flight.plan.lands,
            limits=flight.limits,
            contact_height=flight.plan.ground_height + TOUCHDOWN_HEIGHT,
        ),
        seed=settings.seed,
        policy=flight.policy.path.name,
        policy_sha256=flight.policy.sha256,
        network=network_size(flight.policy.metadata),
        action_kind=flight.policy.metadata.action_kind,
        link=settings.link,
        lockstep=settings.lockstep,
    )
    return summarise(flight.log, facts)


def flight_info(policy: Policy, settings: ControllerSettings) -> dict[str, Any]:
    """Return the facts of a flight that begins, fit for JSON."""
    metadata = policy.metadata
    return {
        "info_version": INFO_VERSION,
        "tick_version": TICK_VERSION,
        "modes": list(MODES),
        "task": settings.task,
        "seed": settings.seed,
        "asked_duration_s": settings.duration,
        "link": settings.link,
        "lockstep": settings.lockstep,
        "airframe": settings.airframe,
        "policy": policy.path.name,
        "policy_path": str(policy.path.absolute()),
        "policy_sha256": policy.sha256,
        "observation_version": metadata.observation_version,
        "action_kind": metadata.action_kind,
        "control_rate": metadata.control_rate,
        "target_return": policy.target_return,
        "layers": {layer.name: layer.neurons for layer in metadata.layers},
        "geofence": list(settings.geofence),
        "parameters": {k: v for k, v in asdict(settings).items() if k not in SECRETS},
        "versions": versions(),
    }
