"""Panels of one flight on the page: path, timeline, errors, commands, attitude, latency."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from snn_controller.flight_log import FlightColumns, FlightRecord
from snn_controller.report.page.figures import (
    AXES_COLOURS,
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
from snn_controller.report.plots.flight import LATENCY_TICKS, SMOOTH_POINTS, mode_spans, moving_mean
from snn_controller.report.plots.path import path_box
from snn_controller.report.plots.style import drawable
from snn_controller.report.summary import ACTION_UNITS, position_error
from snn_controller.report.survival import POLICY_MODE, RESTING_MODES
from snn_controller.vehicle import ActionKind, Array, quaternion_to_matrix, roll_pitch_yaw

LATENCY_BINS = 60
LOWERED = {"x": 0.0, "y": 0.0, "z": -0.06}  # where the view into space is centred, in box sides
MOST_MARKS = 500  # verdicts or missed periods that are marked one by one


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


def asked_error(flight: FlightColumns) -> Array:
    """Return the position error (ticks, 3) in m, NaN where nothing is asked of the drone."""
    resting = np.isin(flight.mode, RESTING_MODES)[:, None]
    with np.errstate(all="ignore"):
        return drawable(np.where(resting, np.nan, position_error(flight)))


def command_panel(record: FlightRecord) -> Panel:
    """Return throttles, or thrust and body rates in action units so that they share an axis."""
    flight = record.flight
    kind: ActionKind = "motors" if record.report["action_kind"] == "motors" else "thrust_rates"
    if kind == "motors":
        names, values, unit = ("M1", "M2", "M3", "M4"), flight.command, "throttle"
    else:
        names, unit = ("thrust", "roll rate", "pitch rate", "yaw rate"), "action"
        values = flight.command / ACTION_UNITS[kind] - np.array([1.0, 0.0, 0.0, 0.0])
    values = drawable(values)
    window = max(1, round(len(values) / SMOOTH_POINTS))
    traces = []
    for name, raw, colour in zip(names, values.T, LINES, strict=False):
        faint = {"width": 0.7, "showlegend": False, "legendgroup": name, "hoverinfo": "skip"}
        traces.append(line(name, flight.time, raw, f"{colour}/0.3", **faint))
        smooth = moving_mean(raw, window)
        traces.append(line(name, flight.time, smooth, colour, legendgroup=name))
    layout = time_layout(time_span(flight), unit, shapes=mode_shapes(flight))
    title = "Motor commands" if kind == "motors" else "Commands"
    note = f"mean over {window} ticks, faint: every tick" if window > 1 else ""
    return Panel("commands", title, 240, traces, layout, note, timed=True)


def attitude_panel(record: FlightRecord) -> Panel:
    """Return roll, pitch and yaw."""
    flight = record.flight
    with np.errstate(all="ignore"):
        angles = np.rad2deg(roll_pitch_yaw(quaternion_to_matrix(flight.quaternion)))
    traces = [
        line(name, flight.time, column, colour)
        for name, column, colour in zip(("roll", "pitch", "yaw"), angles.T, LINES, strict=False)
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
