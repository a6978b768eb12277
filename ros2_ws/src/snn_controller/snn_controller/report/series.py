"""What pictures and page draw of a flight, as arrays. Pure functions, SI units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log import FlightColumns
from snn_controller.report.survival import RESTING_MODES
from snn_controller.vehicle import (
    GRAVITY,
    RATE_LIMITS,
    ActionKind,
    Array,
    quaternion_to_matrix,
    roll_pitch_yaw,
)

ATTITUDE = ("roll", "pitch", "yaw")
LARGEST = 1e4  # in SI units; what lies further out is not drawn
LATENCY_TICKS = [digit * 10.0**power for power in range(-3, 5) for digit in (1, 2, 5)]  # ms
SMOOTH_POINTS = 400  # that a flight's commands are smoothed to
SMALLEST_SIDE = 0.2  # m, of the box, so that a still hover does not look wild
FLATTEST = 0.5  # smallest side of the box as a share of its largest
RASTER_COLUMNS = 850  # about as many as the panel has pixels
RASTER_ROWS = 150
SHOWN_LAYERS = 4
TRACES = 4
TRACE_TIME = 1.0  # s shown of the membranes
TRACE_RATE = 0.15  # spike rate that shows integration and firing best
# Size of one action unit in the command, so that steps of both kinds compare.
ACTION_UNITS: dict[ActionKind, Array] = {
    "motors": np.full(4, 0.5),
    "thrust_rates": np.array([GRAVITY, *RATE_LIMITS]),
}


def drawable(values: Array) -> Array:
    """Return values with NaN for what no axis can hold."""
    return np.where(np.abs(values) <= LARGEST, values, np.nan)


def mode_spans(flight: FlightColumns) -> Iterator[tuple[str, float, float]]:
    """Yield each stretch of one mode with its begin and end in s."""
    if not flight.time.size:
        return
    starts = np.flatnonzero(np.append(True, flight.mode[1:] != flight.mode[:-1]))
    ends = np.append(flight.time[starts[1:]], flight.time[-1])
    for start, end in zip(starts, ends, strict=True):
        yield str(flight.mode[start]), float(flight.time[start]), float(end)


def moving_mean(values: Array, window: int) -> Array:
    """Return the centred mean of values (n,) over a window of at most n, less at both ends."""
    if not values.size:
        return values
    weights = np.ones(window)
    sums = np.convolve(values, weights, mode="same")
    return sums / np.convolve(np.ones(len(values)), weights, mode="same")


def position_error(flight: FlightColumns) -> Array:
    """Return the position error (ticks, 3) in m against the moving reference."""
    return flight.position - flight.reference_position


def asked_error(flight: FlightColumns) -> Array:
    """Return the position error (ticks, 3) in m, NaN where nothing is asked of the drone."""
    resting = np.isin(flight.mode, RESTING_MODES)[:, None]
    with np.errstate(all="ignore"):
        return drawable(np.where(resting, np.nan, position_error(flight)))


def commands_of(flight: FlightColumns, kind: ActionKind) -> tuple[tuple[str, ...], Array]:
    """Return names and values (ticks, 4) of the commands on one axis.

    Throttles as they are; thrust and body rates in action units.
    """
    if kind == "motors":
        return ("M1", "M2", "M3", "M4"), drawable(flight.command)
    names = ("thrust", "roll rate", "pitch rate", "yaw rate")
    return names, drawable(flight.command / ACTION_UNITS[kind] - np.array([1.0, 0.0, 0.0, 0.0]))


def attitude_of(flight: FlightColumns) -> Array:
    """Return roll, pitch and yaw (ticks, 3) in degrees."""
    with np.errstate(all="ignore"):
        return np.rad2deg(roll_pitch_yaw(quaternion_to_matrix(flight.quaternion)))


def path_box(points: Array) -> tuple[Array, Array]:
    """Return the corners (3,) of the box to show: around all points, and not too flat."""
    points = points[np.isfinite(points).all(axis=1)]
    if not points.size:
        points = np.zeros((1, 3))
    lower, upper = points.min(axis=0), points.max(axis=0)
    sides = 1.1 * (upper - lower)
    sides = np.maximum(sides, max(SMALLEST_SIDE, FLATTEST * float(sides.max())))
    middle = 0.5 * (lower + upper)
    return middle - 0.5 * sides, middle + 0.5 * sides


def trace_window(flight: FlightColumns) -> NDArray[np.int64]:
    """Return the rows of the second in the middle of the network's run."""
    ran = np.flatnonzero(flight.network_ran)
    if not ran.size:
        return ran
    times = flight.time[ran]
    begin = max(times[0], 0.5 * (times[0] + times[-1] - TRACE_TIME))
    return ran[(times >= begin) & (times <= begin + TRACE_TIME)]


def pick_neurons(flight: FlightColumns, rows: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Choose recorded neurons that fire neither always nor never, from every layer alike."""
    known = [layer for layer, x in flight.membranes.items() if np.isfinite(x[rows]).all()]
    chosen: list[tuple[str, int]] = []
    for layer in known[:SHOWN_LAYERS]:
        count = flight.membranes[layer].shape[1]
        fired = flight.spikes.get(layer)
        rates = np.zeros(count) if fired is None else fired[rows, :count].mean(axis=0)
        share = max(1, TRACES // min(len(known), SHOWN_LAYERS))
        distance = np.abs(rates - TRACE_RATE) + (rates == 0.0)
        best = np.argsort(distance, kind="stable")[:share]
        chosen += [(layer, int(neuron)) for neuron in best]
    return chosen[::-1]


def density_image(
    fired: NDArray[np.bool_], time: Array, *, columns: int = RASTER_COLUMNS, rows: int = RASTER_ROWS
) -> tuple[Array, Array]:
    """Return the share of spikes per pixel (rows, columns) and the columns' edges in s.

    Args:
        fired: (ticks, neurons).
        time: (ticks,) s, rising.
        columns: The most there may be.
        rows: The most there may be.
    """
    ticks, neurons = fired.shape
    per_column = -(-ticks // columns)
    per_row = -(-neurons // rows)
    starts, tops = np.arange(0, ticks, per_column), np.arange(0, neurons, per_row)
    sums = np.add.reduceat(fired.astype(np.float64), starts, axis=0)
    sums = np.add.reduceat(sums, tops, axis=1)
    pixels = np.diff([*starts, ticks]) * np.diff([*tops, neurons])[:, None]
    period = float(np.median(np.diff(time))) if ticks > 1 else 0.01
    edges = np.append(time[starts], time[-1] + max(period, 1e-6))
    return sums.T / pixels, np.maximum.accumulate(edges)


def length_in_words(metres: float) -> str:
    """Return a length in m in words of a fitting unit."""
    return f"{100.0 * metres:.1f} cm" if metres < 1.0 else f"{metres:.2f} m"
