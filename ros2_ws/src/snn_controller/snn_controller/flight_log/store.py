"""The folder of a flight: its ticks as `flight.npz`, written and read back with the report.

What is read may be damaged or made up by anybody: nothing in it is trusted, pickles are refused.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError, quote
from snn_controller.flight_log.log import FlightColumns, FlightLog, columns
from snn_controller.vehicle import Array

REPORT_VERSION = 1
REPORT_FILE = "report.json"
TICKS_FILE = "flight.npz"
LARGEST_REPORT = 2**24  # bytes
LARGEST_TICKS = 2**31  # bytes, unpacked; ten minutes of four layers of 1000 neurons are a tenth
# Arrays of one row a tick: kinds of number that are right, and how wide a row is.
_COLUMNS = {
    "time": ("f", ()), "mode": ("U", ()), "verdict": ("U", ()),
    "position": ("f", (3,)), "quaternion": ("f", (4,)), "velocity": ("f", (3,)),
    "body_rates": ("f", (3,)), "reference_position": ("f", (3,)), "reference_velocity": ("f", (3,)),
    "command": ("f", (4,)), "synaptic_ops": ("iu", ()), "missed": ("iu", ()),
    "network_ran": ("b", ()),
}  # fmt: skip
_TIMINGS = ("periods", "latencies")  # as FlightLog holds them, of any length
_LAYERS = {"spikes": "b", "membranes": "f"}  # <kind>_<layer>, one column a neuron
_FIGURES = ("tick_period_ms", "latency_ms", "spike_rate")
_LATER_FIGURES = ("network", "energy_nj_per_tick", "energy_j")  # not in older reports, or None
_TEXTS = ("task", "link", "action_kind", "motion_sha256")
_TEXTS_OR_NONE = ("failure", "policy", "policy_sha256")
_NUMBERS_OR_NONE = (
    "seed", "asked_duration_s", "duration_s", "position_rmse_m", "steady_error_m", "max_error_m",
    "ticks", "missed_ticks", "synaptic_ops_per_tick", "action_step",
)  # fmt: skip


@dataclass(frozen=True)
class FlightRecord:
    """A flight with all that its pictures need."""

    name: str
    report: Mapping[str, Any]  # what `report.summarise` says
    flight: FlightColumns
    latencies: Array  # (any,) s from odometry in to command out


def record_of(name: str, report: Mapping[str, Any], log: FlightLog) -> FlightRecord:
    """Return a flight that is still in memory."""
    return FlightRecord(name, report, columns(log), np.asarray(log.latencies, dtype=np.float64))


def pack_ticks(log: FlightLog) -> bytes:
    """Return a log as the bytes of an .npz file."""
    flight = columns(log)
    arrays: dict[str, Any] = {name: getattr(flight, name) for name in _COLUMNS}
    arrays |= {name: np.asarray(getattr(log, name), dtype=np.float64) for name in _TIMINGS}
    for kind in _LAYERS:
        arrays |= {f"{kind}_{layer}": x for layer, x in getattr(flight, kind).items()}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read_record(folder: Path) -> FlightRecord:
    """Return the flight that a report folder holds.

    Raises:
        UserError: A file is missing, damaged or of another version.
    """
    report = _read_report(folder / REPORT_FILE)
    arrays = _read_arrays(folder / TICKS_FILE)
    flight = _columns_of(arrays, folder / TICKS_FILE)
    latencies = arrays.get("latencies", np.empty(0))
    if latencies.dtype.kind != "f" or latencies.ndim != 1:
        raise _damaged(folder / TICKS_FILE, "latencies are not a list of numbers")
    return FlightRecord(folder.resolve().name, report, flight, latencies)


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is damaged ({quote(why)}); copy it again from where it was flown, or fly again"
    )


def _read_bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}); give the folder that a flight"
            f" printed, with {REPORT_FILE} and {TICKS_FILE} in it"
        ) from error
    if len(content) > most:
        raise _damaged(path, f"larger than {most / 2**20:.0f} MiB")
    return content


def _read_report(path: Path) -> dict[str, Any]:
    content = _read_bytes(path, LARGEST_REPORT)
    try:
        report = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"no JSON: {error}") from error
    if not isinstance(report, dict):
        raise _damaged(path, "no JSON object")
    if report.get("report_version") != REPORT_VERSION:
        raise UserError(
            f"{path} has report_version {quote(report.get('report_version'))} where this"
            f" installation reads {REPORT_VERSION}; use the snn_controller that flew"
        )
    wrong = _wrong_key(report)
    if wrong is not None:
        raise _damaged(path, f"the key {wrong!r} is missing or not what it should be")
    return report


def _wrong_key(report: Mapping[str, Any]) -> str | None:
    """Return the first key whose value is not of the type that it should be."""
    rules = (
        (("survived", "lockstep"), lambda x: isinstance(x, bool)),
        (_TEXTS, lambda x: isinstance(x, str)),
        (_TEXTS_OR_NONE, lambda x: x is None or isinstance(x, str)),
        (_NUMBERS_OR_NONE, _is_number),
        (("versions",), lambda x: isinstance(x, dict)),
        (("modes",), lambda x: isinstance(x, list) and all(isinstance(y, dict) for y in x)),
        (_FIGURES, lambda x: isinstance(x, dict) and all(_is_number(y) for y in x.values())),
    )
    for keys, is_right in rules:
        for key in keys:
            if key not in report or not is_right(report[key]):
                return key
    is_right = rules[-1][1]
    for key in _LATER_FIGURES:
        if not is_right(report.get(key) or {}):
            return key
    return None


def _is_number(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    content = io.BytesIO(_read_bytes(path, LARGEST_TICKS))
    try:
        with zipfile.ZipFile(content) as packed:
            unpacked = sum(member.file_size for member in packed.infolist())
        if unpacked > LARGEST_TICKS:
            raise _damaged(path, f"{unpacked / 2**30:.1f} GiB unpacked")
        with np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (
        ValueError, OSError, EOFError, KeyError, SyntaxError, MemoryError, OverflowError,
        NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise _damaged(path, str(error)) from error


def _columns_of(arrays: Mapping[str, NDArray[Any]], path: Path) -> FlightColumns:
    found: dict[str, Any] = {}
    ticks = arrays["time"].shape[:1] if "time" in arrays else ()
    for name, (kinds, row) in _COLUMNS.items():
        values = arrays.get(name)
        if values is None or values.dtype.kind not in kinds or values.shape != (*ticks, *row):
            raise _damaged(path, f"the array {name!r} is missing or not of its shape")
        found[name] = values
    if not (np.diff(found["time"]) >= 0.0).all():
        raise _damaged(path, "times do not rise")
    for kind, code in _LAYERS.items():
        layers = {x.partition("_")[2]: x for x in arrays if x.startswith(f"{kind}_")}
        for name in layers.values():
            if arrays[name].dtype.kind != code or arrays[name].shape[:-1] != ticks:
                raise _damaged(path, f"the array {name!r} is not of its shape")
        found[kind] = {layer: arrays[name] for layer, name in layers.items()}
    return FlightColumns(**found)
