"""Results of studies, one small JSON file a run, and what the runs of a setting say together.

Each top-level entry, column of the curve and cell of the test is one line, so that a difference
between two results reads well. Statistics are mean, sample standard deviation and number of runs.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snn_controller.errors import UserError
from snn_controller.system import write_atomically
from snn_controller.vehicle import Array
from snn_training.studies.catalogue import Axis

FORMAT = 1
MAX_CURVE_ROWS = 60  # keeps a result below 20 kB
DIGITS = 5  # significant, of every number of curve and evaluation
SAME = ("script", "options", "budget", "test")  # what must agree for two runs to be comparable
SPREAD_OVER_LINES = ("curve", "evaluation")

Result = dict[str, Any]


def result_path(folder: Path, label: str, seed: int) -> Path:
    """Return where the result of a setting and a seed is kept."""
    return folder / f"{label}-{seed}.json"


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result in one piece.

    Raises:
        UserError: The place cannot be written.
    """
    write_atomically(path, _format(result).encode())


def read_result(path: Path) -> Result | None:
    """Return a result, None if there is none.

    Raises:
        UserError: The file is damaged or of another version.
    """
    try:
        result = json.loads(path.read_text())
        version = result["format"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to run it again") from error
    if version != FORMAT:
        raise UserError(f"{path} is of another version ({version}); remove it to run it again")
    return result


def check_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse to take a result for that of a run with other options.

    Raises:
        UserError: They differ; the sentence says in what.
    """
    for key in SAME:
        if old[key] != new[key]:
            raise UserError(
                f"{path} was made with {key} {old[key]} and not {new[key]}; "
                "move it away, or choose another --results"
            )


def read_curve(path: Path) -> dict[str, list[float | None]]:
    """Return the columns of a run's CSV log, thinned to evenly spaced rows and the last one.

    What is no finite number is None.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else []
    kept = [rows[index] for index in _evenly(len(rows), MAX_CURVE_ROWS)]
    return {name: [_number(row[name]) for row in kept] for name in columns}


def markdown_row(cells: Iterable[Any]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def rounded(value: Any) -> Any:
    """Return nested JSON values with numbers of five significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _evenly(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]


def _number(text: str) -> float | None:
    if text.isdecimal():
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return None
    return rounded(value) if math.isfinite(value) else None


def _format(result: Mapping[str, Any]) -> str:
    lines = []
    for key, value in result.items():
        if key in SPREAD_OVER_LINES and value:
            inner = ",\n".join(f"  {json.dumps(k)}: {_dump(x)}" for k, x in value.items())
            lines.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {json.dumps(key)}: {_dump(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


Curve = tuple[Array, Array]  # axis, value; both (rows,)


@dataclass(frozen=True)
class Spread:
    """A quantity over runs."""

    mean: float
    deviation: float  # of the sample (n - 1); NaN for a single run
    count: int


@dataclass(frozen=True)
class Reached:
    """When runs first reached something; the spread is over those that did."""

    spread: Spread | None  # None: no run did
    runs: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the spread of the values that there are, None without any."""
    there = np.array([x for x in values if x is not None and math.isfinite(x)])
    if not len(there):
        return None
    deviation = float(there.std(ddof=1)) if len(there) > 1 else math.nan
    return Spread(float(there.mean()), deviation, len(there))


def score(results: Sequence[Result], cell: str, name: str) -> Spread | None:
    """Return a score of the fixed test; each run counts once, by its mean over episodes."""
    return spread(result["evaluation"][cell][name]["mean"] for result in results)


def time_to(results: Sequence[Result], axis: Axis, threshold: float) -> Reached:
    """Return when validation first showed a return of at least the threshold.

    Runs without a curve over this axis do not count.
    """
    curves = [curve_of(result, axis, "return_end") for result in results]
    firsts = [first_reach(curve, threshold) for curve in curves if len(curve[0])]
    return Reached(spread(firsts), len(firsts))


def first_reach(curve: Curve, threshold: float) -> float | None:
    """Return where on its axis a curve first reaches a value, None if it never does."""
    places = np.flatnonzero(curve[1] >= threshold)
    return float(curve[0][places[0]]) if len(places) else None


def curve_of(result: Result, axis: Axis, column: str) -> Curve:
    """Return a column of a run's log over an axis, empty if there is no such thing."""
    columns = result["curve"]
    places = _minutes(result) if axis == "minutes" else columns.get(axis, [])
    if not places or column not in columns:
        return np.zeros(0), np.zeros(0)
    points = zip(places, columns[column], strict=True)
    there = [(x, y) for x, y in points if x is not None and y is not None]
    pairs = np.array(there, np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def band(curves: Sequence[Curve]) -> tuple[Array, Array, Array] | None:
    """Return axis, mean and sample standard deviation (rows,) of curves, None without any.

    The axis is the longest of them; the others are interpolated, and end where they end.
    """
    there = [curve for curve in curves if len(curve[0])]
    if not there:
        return None
    axis = max((curve[0] for curve in there), key=len)
    rows = np.array([np.interp(axis, x, y, left=np.nan, right=np.nan) for x, y in there])
    kept = np.isfinite(rows).all(axis=0)
    rows = rows[:, kept]
    deviation = rows.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(rows.shape[1])
    return axis[kept], rows.mean(axis=0), deviation


def _minutes(result: Result) -> list[float]:
    """Return the processor time at each row, as if every row had taken as long.

    It is not known of a run that was resumed.
    """
    rows = max(map(len, result["curve"].values()), default=0)
    total = result["processor_seconds"] / 60.0
    return [] if result["resumed"] else [(row + 1) / rows * total for row in range(rows)]
