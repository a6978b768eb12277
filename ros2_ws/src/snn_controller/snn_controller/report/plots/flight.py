"""One picture of a flight: path, errors, commands, spikes, membranes and latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snn_controller.flight_log import FlightColumns, FlightLog, columns
from snn_controller.report.plots.path import draw_path
from snn_controller.report.plots.spikes import draw_membranes, draw_raster
from snn_controller.report.plots.style import (
    AXES,
    BLUE,
    FAILURE,
    FLIGHT_SIZE,
    GREY,
    INK,
    MODE_SHADES,
    MOTORS,
    SUCCESS,
    drawable,
    head,
    name_lines,
    note,
    say_nothing,
    write_picture,
)
from snn_controller.report.summary import ACTION_UNITS, position_error
from snn_controller.report.survival import RESTING_MODES
from snn_controller.vehicle import ActionKind, Array, quaternion_to_matrix, roll_pitch_yaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LATENCY_TICKS = [digit * 10.0**power for power in range(-3, 5) for digit in (1, 2, 5)]  # ms
SMOOTH_POINTS = 400  # that a flight's commands are smoothed to
LABELLED_SHARE = 0.06  # of the time axis that a mode must fill to be named on it


def draw_flight(
    log: FlightLog,
    report: Mapping[str, Any],
    path: Path,
    *,
    thresholds: Mapping[str, Array] | None = None,
) -> None:
    """Draw a flight into one PNG file of 1600 x 1000 pixels.

    Args:
        log: The flight.
        report: What `report.summarise` says about it.
        path: File to write; it appears whole or not at all.
        thresholds: Firing thresholds if known, layer -> (neurons,).

    Raises:
        UserError: matplotlib is missing or the file cannot be written.
    """
    flight = columns(log)
    write_picture(
        path,
        lambda figure: _draw(figure, flight, log, report, thresholds or {}),
        size=FLIGHT_SIZE,
    )


def _draw(
    figure: Figure,
    flight: FlightColumns,
    log: FlightLog,
    report: Mapping[str, Any],
    thresholds: Mapping[str, Array],
) -> None:
    """Lay the panels out: space on the left, time on the right."""
    _draw_title(figure, report)
    grid = figure.add_gridspec(
        2, 2, width_ratios=(5, 7), height_ratios=(5, 4.6),
        left=0.065, right=0.985, top=0.86, bottom=0.065, wspace=0.13, hspace=0.2,
    )  # fmt: skip
    upper = grid[0, 1].subgridspec(2, 1, hspace=0.38)
    lower = grid[1, 0].subgridspec(2, 1, height_ratios=(2.5, 1), hspace=0.75)
    pilot = "guide" if report["policy"] is None else "policy"
    draw_path(figure, grid[0, 0], flight, pilot=pilot, survived=report["survived"])
    if flight.membranes:
        draw_membranes(figure.add_subplot(lower[0]), flight, thresholds)
    _draw_latency(figure.add_subplot(lower[1] if flight.membranes else grid[1, 0]), log.latencies)
    errors = figure.add_subplot(upper[0])
    _draw_errors(errors, flight, report["position_rmse_m"])
    commands = figure.add_subplot(upper[1], sharex=errors)
    _draw_commands(commands, flight, report["action_kind"])
    last = draw_raster(figure, grid[1, 1], flight, errors)
    last = last or [_draw_attitude(figure.add_subplot(grid[1, 1], sharex=errors), flight)]
    for axes in (errors, commands, *last):
        _shade_modes(axes, flight)
        axes.tick_params(labelbottom=axes is last[-1])
    _name_modes(errors, flight)
    last[-1].set_xlabel("time [s]")


def _draw_title(figure: Figure, report: Mapping[str, Any]) -> None:
    """Write what flew and how it ended, then the figures that matter."""
    survived = report["survived"]
    result = "survived" if survived else f"did not survive: {report['failure']}"
    mark, colour = ("\u2713", SUCCESS) if survived else ("\u2717", FAILURE)
    title = f"{mark}  {report['task']} \u00b7 {result}"
    figure.text(
        0.02, 0.955, _shorten(title, 100), fontsize=15, fontweight="bold", color=colour, va="center"
    )
    figure.text(0.02, 0.918, "   \u00b7   ".join(_figures(report)), fontsize=10, va="center")


def _figures(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures of the title line that this flight has."""
    if report["position_rmse_m"] is not None:
        yield f"position error {_length(report['position_rmse_m'])} RMS"
    rates = [x for x in report["spike_rate"].values() if x is not None]
    if rates:
        shares = " / ".join(f"{100.0 * rate:.1f}" for rate in rates)
        yield f"spike rate {shares} %"
    if report["synaptic_ops_per_tick"] is not None:
        yield f"{report['synaptic_ops_per_tick']:,.0f} synaptic operations a tick"
    yield f"{report['ticks']:,} ticks, {report['missed_ticks']} missed"
    if report["policy"] is None:
        yield "flown by the guide"
    else:
        yield f"{Path(report['policy']).name} {(report['policy_sha256'] or '')[:8]}".strip()


def _draw_errors(axes: Axes, flight: FlightColumns, rmse: float | None) -> None:
    resting = np.isin(flight.mode, RESTING_MODES)[:, None]  # nothing is asked of the drone then
    error = drawable(np.where(resting, np.nan, position_error(flight)))
    distance = np.linalg.norm(error, axis=1)
    scale, unit = (100.0, "cm") if np.nanmax(distance, initial=0.0) < 1.0 else (1.0, "m")
    for name, values in zip(AXES, error.T, strict=True):
        axes.plot(flight.time, scale * values, color=AXES[name], label=name, linewidth=0.9)
    axes.plot(flight.time, scale * distance, color=INK, label="distance", linewidth=1.3)
    if rmse is not None:
        axes.axhline(scale * rmse, color=INK, linewidth=0.8, linestyle=":", label="RMS")
    head(axes, f"Position error [{unit}]")
    name_lines(axes, 5)
    if flight.time.size:
        axes.set_xlim(flight.time[0], max(flight.time[-1], flight.time[0] + 0.01))


def _draw_commands(axes: Axes, flight: FlightColumns, kind: ActionKind) -> None:
    """Draw motor throttle, or thrust and body rates in action units so that they share an axis."""
    if kind == "motors":
        names, values = ("M1", "M2", "M3", "M4"), flight.command
        title = "Motor commands [throttle]"
    else:
        names = ("thrust", "roll rate", "pitch rate", "yaw rate")
        values = flight.command / ACTION_UNITS[kind] - np.array([1.0, 0.0, 0.0, 0.0])
        title = "Commands [action]"
    values = drawable(values)
    window = max(1, round(len(values) / SMOOTH_POINTS))
    for name, raw, colour in zip(names, values.T, MOTORS, strict=True):
        axes.plot(flight.time, raw, color=colour, linewidth=0.5, alpha=0.3)
        smooth = moving_mean(raw, window)
        axes.plot(flight.time, smooth, color=colour, label=name, linewidth=1.1)
    head(axes, f"{title}, faint: every tick" if window > 1 else title)
    name_lines(axes, 4)


def moving_mean(values: Array, window: int) -> Array:
    """Return the centred mean of values (n,) over a window of at most n, less at both ends."""
    if not values.size:
        return values
    weights = np.ones(window)
    sums = np.convolve(values, weights, mode="same")
    return sums / np.convolve(np.ones(len(values)), weights, mode="same")


def _draw_attitude(axes: Axes, flight: FlightColumns) -> Axes:
    """Draw roll, pitch and yaw, where there are no spikes to show."""
    with np.errstate(all="ignore"):
        angles = np.rad2deg(roll_pitch_yaw(quaternion_to_matrix(flight.quaternion)))
    for name, column, colour in zip(("roll", "pitch", "yaw"), angles.T, MOTORS, strict=False):
        axes.plot(flight.time, column, color=colour, label=name)
    head(axes, "Attitude [degrees]")
    name_lines(axes, 3)
    return axes


def _draw_latency(axes: Axes, latencies: Sequence[float]) -> None:
    """Draw how long commands took, on a logarithmic scale: the tail is what matters."""
    values = 1e3 * np.asarray(latencies, dtype=np.float64)
    values = values[np.isfinite(values) & (values > 0.0)]
    head(axes, "Latency [ms]")
    if not values.size:
        say_nothing(axes, "not measured in this flight")
        return
    low, high = float(values.min()) / 1.2, float(values.max()) * 1.2
    axes.hist(values, bins=np.geomspace(low, high, 70).tolist(), color=BLUE, alpha=0.75)
    axes.set(xscale="log", yscale="log", xlim=(low, high), yticks=[])
    axes.minorticks_off()
    axes.spines["left"].set_visible(False)
    ticks = [x for x in LATENCY_TICKS if low <= x <= high]
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    p50, p99 = np.percentile(values, (50.0, 99.0))
    for value in (p50, p99):
        axes.axvline(float(value), color=INK, linewidth=0.8, linestyle=":")
    note(axes, f"p50 {p50:.2f}   p99 {p99:.2f}   max {values.max():.2f}")


def mode_spans(flight: FlightColumns) -> Iterator[tuple[str, float, float]]:
    """Yield each stretch of one mode with its begin and end in s."""
    if not flight.time.size:
        return
    starts = np.flatnonzero(np.append(True, flight.mode[1:] != flight.mode[:-1]))
    ends = np.append(flight.time[starts[1:]], flight.time[-1])
    for start, end in zip(starts, ends, strict=True):
        yield str(flight.mode[start]), float(flight.time[start]), float(end)


def _shade_modes(axes: Axes, flight: FlightColumns) -> None:
    for mode, begin, end in mode_spans(flight):
        if mode in MODE_SHADES:
            axes.axvspan(begin, end, color=MODE_SHADES[mode], linewidth=0, zorder=0)


def _name_modes(axes: Axes, flight: FlightColumns) -> None:
    spans = list(mode_spans(flight))
    whole = flight.time[-1] - flight.time[0] if flight.time.size else 0.0
    for mode, begin, end in spans:
        if len(spans) > 1 and end - begin > LABELLED_SHARE * whole:
            axes.annotate(
                mode,
                (0.5 * (begin + end), 0.97),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=8,
                color=GREY,
            )


def _length(metres: float) -> str:
    return f"{100.0 * metres:.1f} cm" if metres < 1.0 else f"{metres:.2f} m"


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}\u2026"
