"""Panels of the network on the flight page: spike rasters, membrane potentials, energy."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log import FlightColumns, FlightRecord
from snn_controller.policy import NetworkSize, tick_energies
from snn_controller.report.page.figures import (
    LAYER_COLOURS,
    LINES,
    UNNAMED,
    Panel,
    line,
    mode_shapes,
    nothing,
    numbers,
    text,
    time_layout,
    time_span,
)
from snn_controller.report.plots.flight import moving_mean
from snn_controller.report.plots.spikes import (
    SHOWN_LAYERS,
    density_image,
    pick_neurons,
    trace_window,
)
from snn_controller.report.survival import POLICY_MODE
from snn_controller.vehicle import Array

RASTER_CELLS = 2_000_000  # of all layers together, one byte each before they are packed
RASTER_ROWS = 512  # of a layer
SMOOTHING = 0.25  # s over which energies and rates are averaged
MILLI, MICRO = 1e3, 1e6
TARGET_NAMES = {"loihi": "Loihi", "cmos_45nm": "45 nm CMOS", "cortex_m7": "Cortex-M7"}


def raster_panel(record: FlightRecord) -> Panel:
    """Return one raster per layer, the busiest neurons on top, silent ones left out."""
    flight = record.flight
    layers = [(k, v) for k, v in flight.spikes.items() if v.size][:SHOWN_LAYERS]
    if not layers:
        return Panel("spikes", "Spikes", 120, [], nothing("no spikes in this flight"))
    rows = sum(min(fired.shape[1], RASTER_ROWS) for _, fired in layers)
    weights = np.sqrt([fired.shape[1] for _, fired in layers])
    tops = 1.0 - np.append(0.0, np.cumsum(weights)) / weights.sum()
    layout = time_layout(time_span(flight), "", hovermode="closest", shapes=mode_shapes(flight))
    layout |= UNNAMED
    traces = []
    for number, (layer, fired) in enumerate(layers):
        axis = "" if number == 0 else str(number + 1)
        traces += _raster(flight, fired, RASTER_CELLS // rows, number, axis)
        layout[f"yaxis{axis}"] = {
            "domain": [float(tops[number + 1]) + 0.015, float(tops[number])], "type": "category",
            "showticklabels": False, "showgrid": False, "ticks": "", "fixedrange": True,
            "title": {"text": _layer_title(flight, layer, fired), "standoff": 6,
                      "font": {"color": LAYER_COLOURS[number], "size": 12}},
        }  # fmt: skip
    layout["xaxis"]["anchor"] = f"y{'' if len(layers) == 1 else len(layers)}"
    note = "one row a neuron, the busiest on top; neurons that never fired are left out"
    height = int(np.clip(90 + 18 * weights.sum(), 220, 480))
    return Panel("spikes", "Spikes", height, traces, layout, note, timed=True)


def _layer_title(flight: FlightColumns, layer: str, fired: NDArray[np.bool_]) -> str:
    active, ran = int(fired.any(axis=0).sum()), fired[flight.network_ran]
    rate = 100.0 * float(ran.mean()) if ran.size else 0.0
    return f"{text(layer)}: {rate:.1f} %<br>{active} of {fired.shape[1]} fired"


def _raster(
    flight: FlightColumns, fired: NDArray[np.bool_], columns: int, number: int, axis: str
) -> list[dict[str, Any]]:
    counts = np.count_nonzero(fired, axis=0)
    order = np.argsort(counts, kind="stable")[counts.size - np.count_nonzero(counts) :]
    if not order.size:
        return []
    density, edges = density_image(fired[:, order], flight.time, columns=columns, rows=RASTER_ROWS)
    per_row = -(-order.size // RASTER_ROWS)
    # the root lifts single spikes out of the ground when many ticks share a cell
    cells = np.ceil(255.0 * np.sqrt(density)).astype(np.uint8)
    colour = LAYER_COLOURS[number]
    return [{
        "type": "heatmap", "xaxis": "x", "yaxis": f"y{axis}",
        "x": numbers(edges, 4), "y": [f"#{order[row]}" for row in range(0, order.size, per_row)],
        "z": {
            "bdata": base64.b64encode(cells.tobytes()).decode(), "dtype": "u1",
            "shape": f"{cells.shape[0]}, {cells.shape[1]}",
        },
        "zmin": 0, "zmax": 255, "showscale": False,
        "colorscale": [[0, f"{colour}/0"], [1, colour]],
        "hovertemplate": "%{x:.2f} s, neuron %{y}<extra></extra>",
    }]  # fmt: skip


def membrane_panel(record: FlightRecord) -> Panel:
    """Return membrane potentials of a few neurons, one above the other, with their spikes."""
    flight = record.flight
    rows = trace_window(flight)
    neurons = pick_neurons(flight, rows) if rows.size > 1 else []
    title = "Membrane potentials"
    if not neurons:
        return Panel("membranes", title, 120, [], nothing("no membrane potentials in this flight"))
    home = float(flight.time[rows[0]]), float(flight.time[rows[-1]])
    layout = time_layout(home, "", hovermode="closest", **UNNAMED)
    traces = []
    for number, (layer, neuron) in enumerate(neurons):
        axis = "" if number == 0 else str(number + 1)
        traces += _membrane(flight, layer, neuron, axis)
        low, high = number / len(neurons), (number + 0.9) / len(neurons)
        layout[f"yaxis{axis}"] = {
            "domain": [low, high], "nticks": 3, "zeroline": True, "fixedrange": True,
            "title": {"text": f"{text(layer)}<br>#{neuron}", "standoff": 4, "font": {"size": 11}},
        }  # fmt: skip
    note = "dots: spikes; one second at first, and what other panels are zoomed to"
    height = 90 + 95 * len(neurons)
    return Panel("membranes", title, height, traces, layout, note, timed=True, home=home)


def _membrane(flight: FlightColumns, layer: str, neuron: int, axis: str) -> list[dict[str, Any]]:
    """Return every tick of one neuron: what it integrates is lost in an envelope."""
    values = flight.membranes[layer][:, neuron].astype(np.float64)
    colour = LAYER_COLOURS[list(flight.membranes).index(layer) % len(LAYER_COLOURS)]
    name = f"{text(layer)} #{neuron}"
    shared = {"type": "scatter", "name": name, "xaxis": "x", "yaxis": f"y{axis}"}
    hover = {"hovertemplate": f"%{{x:.2f}} s: %{{y:.3f}}<extra>{name}</extra>"}
    traces = [{
        **shared, **hover, "mode": "lines", "line": {"color": colour, "width": 1.3},
        "x": numbers(flight.time, 3), "y": numbers(values, 4),
    }]  # fmt: skip
    fired = flight.spikes.get(layer)
    if fired is not None and neuron < fired.shape[1]:
        when = np.flatnonzero(fired[:, neuron] & np.isfinite(values))
        traces.append({
            **shared, "mode": "markers", "marker": {"color": "@ink", "size": 4},
            "x": numbers(flight.time[when], 3), "y": numbers(values[when], 4),
            "hovertemplate": f"%{{x:.2f}} s: spike<extra>{name}</extra>",
        })  # fmt: skip
    return traces


def energies(record: FlightRecord) -> dict[str, Array]:
    """Return nJ per tick (ticks,) by target, zero where the policy did not run; {} if unknown."""
    network = network_of(record.report)
    if network is None or not record.flight.time.size:
        return {}
    ran = record.flight.mode == POLICY_MODE
    operations = record.flight.synaptic_ops.astype(np.float64)
    ticks = cast("dict[str, Array]", tick_energies(cast(Any, operations), network))
    return {target: np.where(ran, x, 0.0) for target, x in ticks.items()}


def network_of(report: Mapping[str, Any]) -> NetworkSize | None:
    """Return the size of the network that a report names, if it does."""
    network = report.get("network") or {}
    neurons, macs = network.get("neurons"), network.get("macs")
    return None if neurons is None or macs is None else NetworkSize(neurons, macs)


def energy_panel(record: FlightRecord) -> Panel:
    """Return what the network's operations would have cost on each target, summed over time."""
    flight, title = record.flight, "Energy of the network, estimated"
    ticks = energies(record)
    if not ticks:
        words = (
            "not known: the report names no network" if record.report["policy"] else "no network"
        )
        return Panel("energy", title, 120, [], nothing(words))
    window = smoothing_window(flight.time)
    ran = (flight.mode == POLICY_MODE).astype(np.float64)
    share = np.where(ran, moving_mean(ran, window), np.nan)
    traces = []
    for number, (target, values) in enumerate(ticks.items()):
        name, total = TARGET_NAMES.get(target, target), joules(1e-9 * float(values.sum()))
        shown = 1e-3 * moving_mean(values, window) / share  # the mean over ticks in which it ran
        more = {"hovertemplate": "%{y:.3g} \u00b5J a tick, %{customdata} so far"}
        trace = line(f"{name}: {total} in all", flight.time, shown, LINES[number], **more)
        so_far = np.interp(
            np.array(trace["x"], dtype=np.float64), flight.time, 1e-9 * np.cumsum(values)
        )
        traces.append({**trace, "customdata": [joules(x) for x in so_far]})
    layout = time_layout(time_span(flight), "\u00b5J a tick", shapes=mode_shapes(flight))
    layout["yaxis"] |= {"type": "log", "dtick": 1}
    note = "operations counted, costs by published constants; not measured"
    return Panel("energy", title, 230, traces, layout, note, timed=True)


def smoothing_window(time: Array) -> int:
    """Return how many ticks a running mean takes together."""
    period = float(np.median(np.diff(time))) if time.size > 1 else SMOOTHING
    return int(np.clip(round(SMOOTHING / max(period, 1e-6)), 1, max(time.size, 1)))


def joules(energy: float) -> str:
    """Return an energy in J in words of a fitting unit."""
    for scale, unit in ((1.0, "J"), (MILLI, "mJ"), (MICRO, "\u00b5J")):
        if energy * scale >= 1.0:
            return f"{energy * scale:.3g} {unit}"
    return f"{energy * 1e9:.3g} nJ"


def spike_rate(flight: FlightColumns) -> Array:
    """Return the share of all neurons that fire (ticks,), NaN where the network did not run."""
    neurons = sum(fired.shape[1] for fired in flight.spikes.values())
    if not neurons:
        return np.full(flight.time.shape, np.nan)
    fired = sum(np.count_nonzero(fired, axis=1) for fired in flight.spikes.values())
    return np.where(flight.network_ran, np.asarray(fired) / neurons, np.nan)
