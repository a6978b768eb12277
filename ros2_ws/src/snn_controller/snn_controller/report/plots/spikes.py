"""The network's side of the flight picture: spike rasters and membrane traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log import FlightColumns
from snn_controller.report.plots.style import GREY, INK, LAYERS, head, note, say_nothing
from snn_controller.vehicle import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec


RASTER_COLUMNS = 850  # about as many as the panel has pixels
RASTER_ROWS = 150
SHOWN_LAYERS = 4
TRACES = 4
TRACE_TIME = 1.0  # s shown of the membranes
TRACE_RATE = 0.15  # spike rate that shows integration and firing best


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
