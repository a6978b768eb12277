"""One picture of a flight: path, errors, commands, spikes, membranes and latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log import FlightColumns, FlightLog, columns
from snn_controller.report.plots.style import (
    AXES,
    BLUE,
    FAILURE,
    FAINT,
    FLIGHT_SIZE,
    GREY,
    INK,
    LAYERS,
    MODE_SHADES,
    MOTORS,
    ORANGE,
    SUCCESS,
    head,
    name_lines,
    note,
    say_nothing,
    write_picture,
)
from snn_controller.report.series import (
    ATTITUDE,
    LATENCY_TICKS,
    SHOWN_LAYERS,
    SMOOTH_POINTS,
    asked_error,
    attitude_of,
    commands_of,
    density_image,
    drawable,
    length_in_words,
    mode_spans,
    moving_mean,
    path_box,
    pick_neurons,
    trace_window,
)
from snn_controller.report.survival import POLICY_MODE
from snn_controller.vehicle import ActionKind, Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec


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
        yield f"position error {length_in_words(report['position_rmse_m'])} RMS"
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
    error = asked_error(flight)
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
    names, values = commands_of(flight, kind)
    title = "Motor commands [throttle]" if kind == "motors" else "Commands [action]"
    window = max(1, round(len(values) / SMOOTH_POINTS))
    for name, raw, colour in zip(names, values.T, MOTORS, strict=True):
        axes.plot(flight.time, raw, color=colour, linewidth=0.5, alpha=0.3)
        smooth = moving_mean(raw, window)
        axes.plot(flight.time, smooth, color=colour, label=name, linewidth=1.1)
    head(axes, f"{title}, faint: every tick" if window > 1 else title)
    name_lines(axes, 4)


def _draw_attitude(axes: Axes, flight: FlightColumns) -> Axes:
    """Draw roll, pitch and yaw, where there are no spikes to show."""
    for name, column, colour in zip(ATTITUDE, attitude_of(flight).T, MOTORS, strict=False):
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


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}\u2026"


def draw_path(
    figure: Figure, place: SubplotSpec, flight: FlightColumns, *, pilot: str, survived: bool
) -> None:
    """Draw the path at equal scales, with its shadow on the floor of the box."""
    axes: Any = figure.add_subplot(place, projection="3d")
    flown = (flight.mode == POLICY_MODE)[:, None]
    path = drawable(flight.position)
    reference = np.where(flown, drawable(flight.reference_position), np.nan)
    lower, upper = path_box(np.concatenate([path, reference]))
    _set_view(axes, lower, upper)
    _line(axes, np.c_[path[:, :2], np.full(len(path), lower[2])], FAINT, linewidth=1.6)
    still = len(np.unique(flight.reference_position[flown[:, 0]], axis=0)) == 1
    _line(axes, reference, GREY, "+" if still else "-", label="reference", markersize=9)
    _line(axes, np.where(flown, path, np.nan), BLUE, label=pilot)
    if not flown.all():
        _line(axes, np.where(flown, np.nan, path), ORANGE, label="other modes")
    ends = path[np.isfinite(path).all(axis=1)]
    if ends.size:
        _line(axes, ends[:1], INK, "o", markerfacecolor="white", label="start")
        marker, colour = ("s", INK) if survived else ("X", FAILURE)
        _line(axes, ends[-1:], colour, marker, label="end", markersize=7)
    _name_path(figure.add_subplot(place, zorder=-1), axes)


def _name_path(behind: Axes, axes: Any) -> None:
    """Write headline and names into plain axes: three-dimensional ones shrink to a square."""
    behind.axis("off")
    head(behind, "Path [m]")
    behind.legend(
        handles=axes.get_legend_handles_labels()[0],
        loc="lower right",
        bbox_to_anchor=(1.01, 0.985),
        ncols=5,
        columnspacing=1.0,
        handlelength=1.3,
        handletextpad=0.5,
        borderaxespad=0.2,
    )


def _line(axes: Any, points: Array, colour: str, form: str = "-", **style: Any) -> None:
    """Draw points (n, 3), also where they pass the edge of the square that clips 3D axes."""
    axes.plot(*points.T, form, color=colour, clip_on=False, **style)


def _set_view(axes: Any, lower: Array, upper: Array) -> None:
    """Look at a box from the side and above, as close as its shape allows."""
    sides = upper - lower
    axes.set(xlim=(lower[0], upper[0]), ylim=(lower[1], upper[1]), zlim=(lower[2], upper[2]))
    axes.set_box_aspect(sides, zoom=1.5 - 0.55 * float(sides[2] / sides.max()))
    axes.view_init(elev=28.0, azim=-60.0)
    axes.set_xlabel("x", labelpad=-2)
    axes.set_ylabel("y", labelpad=-2)
    axes.set_zlabel("z", labelpad=0)
    axes.tick_params(axis="x", pad=0)
    axes.tick_params(axis="y", pad=0)
    axes.tick_params(axis="z", pad=3)
    axes.locator_params(nbins=4)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((1.0, 1.0, 1.0, 0.0))


def draw_raster(
    figure: Figure, place: SubplotSpec, flight: FlightColumns, shared: Axes
) -> list[Axes]:
    """Draw one raster per layer below each other; return their axes, none without spikes."""
    layers = [(k, v) for k, v in flight.spikes.items() if v.size][:SHOWN_LAYERS]
    if not layers:
        return []
    # the square root gives a small layer room beside a large one
    heights = [np.sqrt(fired.shape[1]) for _, fired in layers]
    grid = place.subgridspec(len(layers), 1, height_ratios=heights, hspace=0.09)
    panels = []
    for row, (layer, fired) in enumerate(layers):
        axes = figure.add_subplot(grid[row], sharex=shared)
        _draw_layer(axes, flight, layer, fired, LAYERS[row % len(LAYERS)])
        panels.append(axes)
    head(panels[0], "Spikes")
    note(panels[0], "one row a neuron, the busiest on top; neurons that never fired are left out")
    return panels


def _draw_layer(
    axes: Axes, flight: FlightColumns, layer: str, fired: NDArray[np.bool_], colour: str
) -> None:
    """Draw the neurons that fired at all; how many did not is written beside."""
    counts = np.count_nonzero(fired, axis=0)
    active = int(np.count_nonzero(counts))
    rate = float(fired[flight.network_ran].mean())
    text = f"{layer}: {100.0 * rate:.1f} %\n{active} of {counts.size} fired"
    axes.set_ylabel(text, fontsize=8.5, linespacing=1.4, color=colour)
    axes.set_yticks([])
    axes.grid(False)
    if not active:
        return
    order = np.argsort(counts, kind="stable")[-active:]
    density, edges = density_image(fired[:, order], flight.time)
    rows = np.linspace(0.0, 1.0, density.shape[0] + 1)
    # the root lifts single spikes out of the white when many ticks share a pixel
    axes.pcolorfast(edges, rows, np.sqrt(density), cmap=_fading(colour), vmin=0.0, vmax=1.0)
    axes.set_ylim(0.0, 1.0)


def _fading(colour: str) -> LinearSegmentedColormap:
    """Return the map from transparent to a colour, so that shaded modes show through."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("spikes", [f"{colour}00", colour])


def draw_membranes(axes: Axes, flight: FlightColumns, thresholds: Mapping[str, Array]) -> None:
    """Draw one second of a few membrane potentials, one above the other, with their spikes."""
    rows = trace_window(flight)
    neurons = pick_neurons(flight, rows) if rows.size > 1 else []
    head(axes, "Membrane potentials")
    if not neurons:
        say_nothing(axes, "no membrane potentials in this flight")
        return
    time = flight.time[rows]
    for level, (layer, neuron) in enumerate(neurons):
        _draw_trace(axes, flight, rows, layer, neuron, level, thresholds.get(layer))
    axes.set_xlim(time[0], time[-1])
    axes.set_ylim(-0.15, len(neurons))
    axes.set_yticks(
        [level + 0.4 for level in range(len(neurons))], [f"{x} #{n}" for x, n in neurons]
    )
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")
    axes.set_xlabel("time [s]", labelpad=2)


def _draw_trace(
    axes: Axes,
    flight: FlightColumns,
    rows: NDArray[np.int64],
    layer: str,
    neuron: int,
    level: int,
    thresholds: Any,
) -> None:
    """Draw one trace scaled into [level, level + 0.8], its threshold and its spikes above."""
    values = flight.membranes[layer][rows, neuron].astype(np.float64)
    threshold = None if thresholds is None else float(np.asarray(thresholds).ravel()[neuron])
    low = float(values.min())
    high = float(max(values.max(), low if threshold is None else threshold))
    scale = 0.75 / (high - low) if high > low else 0.0
    colour = LAYERS[list(flight.membranes).index(layer) % len(LAYERS)]
    time = flight.time[rows]
    axes.plot(time, level + (values - low) * scale, color=colour, linewidth=0.9)
    if threshold is not None:
        axes.axhline(level + (threshold - low) * scale, color=GREY, linewidth=0.7, linestyle=":")
    fired = flight.spikes.get(layer)
    if fired is not None:
        moments = time[fired[rows, neuron]]
        axes.vlines(moments, level + 0.8, level + 0.92, color=INK, linewidth=0.9)
