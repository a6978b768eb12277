"""Panels of one flight on the page: path, timeline, errors, commands, latency, network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log import FlightColumns, FlightRecord
from snn_controller.policy import NetworkSize, tick_energies
from snn_controller.report.page.figures import (
    AXES_COLOURS,
    LAYER_COLOURS,
    LIGHT,
    LINES,
    MARGINS,
    POINTS,
    UNNAMED,
    Panel,
    coordinates,
    first_and_last,
    line,
    marks,
    mode_shapes,
    nothing,
    numbers,
    path_line,
    text,
    time_layout,
    time_span,
    upright,
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
    mode_spans,
    moving_mean,
    path_box,
    pick_neurons,
    trace_window,
)
from snn_controller.report.survival import POLICY_MODE
from snn_controller.vehicle import ActionKind, Array

LATENCY_BINS = 60
LOWERED = {"x": 0.0, "y": 0.0, "z": -0.06}  # where the view into space is centred, in box sides
MOST_MARKS = 500  # verdicts or missed periods that are marked one by one
RASTER_CELLS = 2_000_000  # of all layers together, one byte each before they are packed
RASTER_ROWS = 512  # of a layer
SMOOTHING = 0.25  # s over which energies and rates are averaged
MILLI, MICRO = 1e3, 1e6
TARGET_NAMES = {"loihi": "Loihi", "cmos_45nm": "45 nm CMOS", "cortex_m7": "Cortex-M7"}


def path_panel(record: FlightRecord) -> Panel:
    """Return the path in space, with its shadow on the floor of the box."""
    flight = record.flight
    flown = (flight.mode == POLICY_MODE)[:, None]
    path = drawable(flight.position)
    reference = np.where(flown, drawable(flight.reference_position), np.nan)
    lower, upper = path_box(np.concatenate([path, reference]))
    shadow = np.c_[path[:, :2], np.full(len(path), lower[2])]
    pilot = "guide" if record.report["policy"] is None else "policy"
    traces = [
        path_line("shadow", shadow, "@shadow", width=2, showlegend=False, hoverinfo="skip"),
        path_line("reference", reference, "@grey", width=3),
        path_line(pilot, np.where(flown, path, np.nan), "@blue"),
    ]
    if not flown.all():
        traces.append(path_line("other modes", np.where(flown, np.nan, path), "@orange"))
    end = ("@ink", "square") if record.report["survived"] else ("@failure", "diamond")
    looks = (("start", "@ink", "circle-open"), ("end", *end))
    ends = first_and_last(path)
    traces += [marks(name, x, *look) for (name, *look), x in zip(looks, ends, strict=False)]
    step = max(1, -(-len(path) // POINTS))
    traces.append({**marks("now", path[:0], "@failure", "circle"), "showlegend": False})
    clock = {"time": numbers(flight.time[::step], 3), **coordinates(path[::step])}
    return Panel("path", "Path [m]", 440, traces, space_layout(lower, upper), clock=clock)


def space_layout(lower: Array, upper: Array) -> dict[str, Any]:
    """Return the layout of a view into a box of corners (3,) in m, at equal scales."""
    sides = upper - lower
    axes = {
        f"{name}axis": {"range": [float(low), float(high)], "title": {"text": name}, "nticks": 6}
        for name, low, high in zip("xyz", lower, upper, strict=True)
    }
    shape = dict(zip("xyz", (sides / sides.max()).tolist(), strict=True))
    look = np.array([0.55, -0.95, 0.55]) * (1.1 + 0.5 * float(sides[2] / sides.max()))
    camera = {"eye": dict(zip("xyz", look.tolist(), strict=True)), "center": LOWERED}
    scene = {**axes, "aspectmode": "manual", "aspectratio": shape, "camera": camera}
    legend = {"x": 0, "xanchor": "left"}
    return {"margin": {"l": 0, "r": 0, "t": 26, "b": 0}, "scene": scene, "legend": legend}


def timeline_panel(record: FlightRecord) -> Panel:
    """Return who was in control when, with the guards' verdicts and missed periods on it."""
    flight = record.flight
    modes = list(dict.fromkeys(flight.mode.tolist()))
    traces = timeline_bars(flight)
    verdicts, missed = _verdict_marks(record.report), _missed_marks(flight)
    traces += [*verdicts, *missed]
    layout = time_layout(time_span(flight), "", hovermode="closest", barmode="overlay")
    layout |= UNNAMED if not verdicts else {}
    layout["yaxis"] = {"autorange": "reversed", "type": "category", "showgrid": False}
    height = 74 + 26 * max(len(modes), 1) + 26 * len(missed)
    return Panel("timeline", "State machine", height, traces, layout, timed=True)


def timeline_bars(
    flight: FlightColumns, row: str | None = None, shift: float = 0.0
) -> list[dict[str, Any]]:
    """Return one bar per stretch of a mode, on a row of its own or all on the row named.

    Args:
        flight: The flight.
        row: The row's name, None for one row a mode.
        shift: s added to its times.
    """
    spans = list(mode_spans(flight))
    traces: list[dict[str, Any]] = []
    for mode in dict.fromkeys(flight.mode.tolist()):
        mine = np.array([(begin, end) for name, begin, end in spans if name == mode]) + shift
        traces.append({
            "type": "bar", "orientation": "h", "name": text(mode), "showlegend": False,
            "y": [text(mode if row is None else row)] * len(mine), "base": numbers(mine[:, 0]),
            "x": numbers(mine[:, 1] - mine[:, 0]), "customdata": numbers(mine[:, 1], 2),
            "width": 0.62,
            "marker": {"color": _shade(mode), "line": {"color": "@grey", "width": 0.8}},
            "hovertemplate": "%{base:.2f} s to %{customdata} s<extra>%{fullData.name}</extra>",
        })  # fmt: skip
    return traces


def _shade(mode: str) -> str:
    return f"@mode-{mode}" if f"mode-{mode}" in LIGHT else "@faint"


def _verdict_marks(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a mark with its sentence wherever the report tells of a verdict."""
    entries = [x for x in report["modes"] if x.get("verdict")][:MOST_MARKS]
    if not entries:
        return []
    return [{
        "type": "scatter", "mode": "markers", "name": "verdict",
        "x": [x.get("time_s") for x in entries], "y": [text(x.get("mode")) for x in entries],
        "text": [text(x["verdict"]) for x in entries],
        "marker": {"color": "@failure", "symbol": "diamond", "size": 10}, "cliponaxis": False,
        "hovertemplate": "%{x:.2f} s: %{text}<extra>verdict</extra>",
    }]  # fmt: skip


def _missed_marks(flight: FlightColumns) -> list[dict[str, Any]]:
    """Return a mark wherever control periods passed without odometry."""
    rows = np.flatnonzero(flight.missed > 0)[:MOST_MARKS]
    if not rows.size:
        return []
    return [{
        "type": "scatter", "mode": "markers", "name": "missed", "showlegend": False,
        "x": numbers(flight.time[rows]), "y": ["missed"] * rows.size,
        "customdata": flight.missed[rows].tolist(),
        "marker": {"color": "@failure", "symbol": "line-ns-open", "size": 11},
        "hovertemplate": "%{x:.2f} s: %{customdata} control periods without odometry"
        "<extra></extra>",
    }]  # fmt: skip


def error_panel(record: FlightRecord) -> Panel:
    """Return the position error while something was asked of the drone."""
    flight, rmse = record.flight, record.report["position_rmse_m"]
    error = asked_error(flight)
    distance = np.linalg.norm(error, axis=1)
    known = distance[np.isfinite(distance)]
    scale, unit = (100.0, "cm") if known.max(initial=0.0) < 1.0 else (1.0, "m")
    traces = [
        line(name, flight.time, scale * column, colour, width=1.1)
        for name, column, colour in zip("xyz", error.T, AXES_COLOURS, strict=True)
    ]
    traces.append(line("distance", flight.time, scale * distance, "@ink", width=1.7))
    shapes = mode_shapes(flight)
    if rmse is not None:
        level = {"x0": 0, "x1": 1, "xref": "paper", "yref": "y", "y0": scale * rmse}
        shapes.append(upright(0.0, **level, y1=scale * rmse))
    layout = time_layout(time_span(flight), unit, shapes=shapes)
    note = "" if rmse is None else f"dotted: RMS {scale * rmse:.3g} {unit}"
    return Panel("error", "Position error", 240, traces, layout, note, timed=True)


def command_panel(record: FlightRecord) -> Panel:
    """Return throttles, or thrust and body rates in action units so that they share an axis."""
    flight = record.flight
    kind: ActionKind = "motors" if record.report["action_kind"] == "motors" else "thrust_rates"
    names, values = commands_of(flight, kind)
    window = max(1, round(len(values) / SMOOTH_POINTS))
    traces = []
    for name, raw, colour in zip(names, values.T, LINES, strict=False):
        faint = {"width": 0.7, "showlegend": False, "legendgroup": name, "hoverinfo": "skip"}
        traces.append(line(name, flight.time, raw, f"{colour}/0.3", **faint))
        smooth = moving_mean(raw, window)
        traces.append(line(name, flight.time, smooth, colour, legendgroup=name))
    unit = "throttle" if kind == "motors" else "action"
    layout = time_layout(time_span(flight), unit, shapes=mode_shapes(flight))
    title = "Motor commands" if kind == "motors" else "Commands"
    note = f"mean over {window} ticks, faint: every tick" if window > 1 else ""
    return Panel("commands", title, 240, traces, layout, note, timed=True)


def attitude_panel(record: FlightRecord) -> Panel:
    """Return roll, pitch and yaw."""
    flight = record.flight
    traces = [
        line(name, flight.time, column, colour)
        for name, column, colour in zip(ATTITUDE, attitude_of(flight).T, LINES, strict=False)
    ]
    layout = time_layout(time_span(flight), "degrees", shapes=mode_shapes(flight))
    return Panel("attitude", "Attitude", 210, traces, layout, timed=True)


def latency_panel(record: FlightRecord) -> Panel:
    """Return how long commands took, logarithmic on both axes: the tail is what matters."""
    values = 1e3 * record.latencies
    values = values[np.isfinite(values) & (values > 0.0)]
    if not values.size:
        return Panel("latency", "Latency", 200, [], nothing("not measured in this flight"))
    counts, edges = np.histogram(values, bins=latency_edges(values))
    # bars on a logarithmic axis have no width of their own, so the axis is one of exponents
    places = np.log10(edges)
    trace = {
        "type": "bar", "name": "ticks", "marker": {"color": "@blue", "line": {"width": 0}},
        "x": numbers(0.5 * (places[1:] + places[:-1])), "width": float(places[1] - places[0]),
        "y": [int(count) or None for count in counts],
        "customdata": [[f"{a:.3g}", f"{b:.3g}"] for a, b in pairwise(edges)],
        "hovertemplate": "%{customdata[0]} to %{customdata[1]} ms: %{y} ticks<extra></extra>",
    }  # fmt: skip
    p50, p99 = np.percentile(values, (50.0, 99.0))
    layout = latency_layout(edges[0], edges[-1])
    layout["shapes"] = [upright(float(np.log10(x))) for x in (p50, p99)]
    layout["annotations"] = [
        {"x": float(np.log10(x)), "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False,
         "text": f"{name}", "font": {"size": 11, "color": "@ink"}}
        for name, x in (("p50", p50), ("p99", p99))
    ]  # fmt: skip
    note = f"p50 {p50:.2f}, p99 {p99:.2f}, max {values.max():.2f} ms"
    return Panel("latency", "Latency", 240, [trace], layout, note)


def latency_edges(values: Array) -> Array:
    """Return edges of bins in ms that are equally wide on a logarithmic axis."""
    return np.geomspace(values.min() / 1.2, values.max() * 1.2, LATENCY_BINS + 1)


def latency_layout(low: float, high: float) -> dict[str, Any]:
    """Return the layout of a histogram over the exponents of latencies in ms."""
    ticks = [x for x in LATENCY_TICKS if low <= x <= high]
    return {
        "margin": {**MARGINS, "b": 40},
        "bargap": 0,
        "hovermode": "closest",
        "xaxis": {
            "tickvals": numbers(np.log10(ticks)), "ticktext": [f"{x:g}" for x in ticks],
            "title": {"text": "ms", "standoff": 4},
        },
        "yaxis": {"type": "log", "dtick": 1, "title": {"text": "ticks", "standoff": 6}},
    }  # fmt: skip


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
