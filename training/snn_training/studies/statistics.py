"""What the runs of a setting say together: mean, sample standard deviation, number of runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from snn_controller.vehicle import Array
from snn_training.studies.catalogue import Axis
from snn_training.studies.results import Result

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
