"""Panels that lay several flights over each other, from when their policies took over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snn_controller.flight_log import FlightColumns, FlightRecord
from snn_controller.report.page.figures import (
    LINES,
    UNNAMED,
    Panel,
    line,
    marks,
    nothing,
    numbers,
    path_line,
    text,
    time_layout,
)
from snn_controller.report.page.panels import (
    TARGET_NAMES,
    energies,
    latency_edges,
    latency_layout,
    smoothing_window,
    space_layout,
    spike_rate,
    timeline_bars,
)
from snn_controller.report.series import asked_error, drawable, moving_mean, path_box
from snn_controller.report.survival import POLICY_MODE
from snn_controller.vehicle import Array

DASHES = ("solid", "dash", "dot", "dashdot")


def compare_panels(records: Sequence[FlightRecord]) -> tuple[list[Panel], list[Panel]]:
    """Return what stands in the page's left and right column."""
    return [paths_panel(records), latencies_panel(records), energies_panel(records)], [
        timelines_panel(records),
        errors_panel(records),
        commands_panel(records),
        rates_panel(records),
    ]


def look(number: int) -> tuple[str, str]:
    """Return colour and dash of a flight by its place."""
    return LINES[number % len(LINES)], DASHES[number // len(LINES) % len(DASHES)]


def takeover(flight: FlightColumns) -> float:
    """Return when the policy took over in s, or when the flight began if it never did."""
    flown = flight.time[flight.mode == POLICY_MODE]
    return float(flown[0] if flown.size else flight.time[0] if flight.time.size else 0.0)


def common_span(records: Sequence[FlightRecord]) -> tuple[float, float]:
    """Return begin and end in s after the takeover that hold every flight."""
    times = [x.flight.time - takeover(x.flight) for x in records if x.flight.time.size]
    if not times:
        return 0.0, 1.0
    begin = float(min(x[0] for x in times))
    return begin, max(float(max(x[-1] for x in times)), begin + 0.01)


def paths_panel(records: Sequence[FlightRecord]) -> Panel:
    """Return all paths in space, with the references that they followed."""
    paths = [drawable(x.flight.position) for x in records]
    references = [
        np.where((x.flight.mode == POLICY_MODE)[:, None], x.flight.reference_position, np.nan)
        for x in records
    ]
    lower, upper = path_box(np.concatenate([*paths, *(drawable(x) for x in references)]))
    traces = []
    shown: list[Array] = []
    for reference in references:
        known = reference[np.isfinite(reference).all(axis=1)]
        if not any(x.shape == known.shape and np.allclose(x, known) for x in shown):
            shown.append(known)
            first = {"showlegend": len(shown) == 1, "legendgroup": "reference"}
            traces.append(path_line("reference", reference, "@grey", width=3, **first))
    for number, (record, path) in enumerate(zip(records, paths, strict=True)):
        traces.append(path_line(record.name, path, look(number)[0]))
    for number, (record, path) in enumerate(zip(records, paths, strict=True)):
        known = path[np.isfinite(path).all(axis=1)]
        symbol = "square" if record.report["survived"] else "diamond"
        end = marks(f"{record.name}, end", known[-1:], look(number)[0], symbol)
        traces.append({**end, "showlegend": False})
    return Panel("path", "Paths [m]", 440, traces, space_layout(lower, upper))


def timelines_panel(records: Sequence[FlightRecord]) -> Panel:
    """Return who was in control when, one row a flight."""
    traces = []
    for number, record in enumerate(records):
        traces += timeline_bars(record.flight, f"{number + 1}", -takeover(record.flight))
    span = common_span(records)
    layout = time_layout(span, "flight", hovermode="closest", barmode="overlay", **UNNAMED)
    layout["yaxis"] |= {"autorange": "reversed", "type": "category", "showgrid": False}
    height = 60 + 26 * len(records)
    return Panel("timeline", "State machines", height, traces, layout, timed=True)


def errors_panel(records: Sequence[FlightRecord]) -> Panel:
    """Return the distance of each flight from its reference."""
    distances = [np.linalg.norm(asked_error(x.flight), axis=1) for x in records]
    largest = max((np.nanmax(x, initial=0.0) for x in distances), default=0.0)
    scale, unit = (100.0, "cm") if largest < 1.0 else (1.0, "m")
    return _overlay(
        "error", "Distance from the reference", unit, records, [scale * x for x in distances]
    )


def commands_panel(records: Sequence[FlightRecord]) -> Panel:
    """Return how much each flight's commands change, what wears motors and batteries."""
    steps = [
        np.append(np.nan, np.abs(np.diff(x.flight.command, axis=0)).mean(axis=1))[
            : x.flight.time.size
        ]
        for x in records
    ]
    title = "Change of the command from tick to tick"
    return _overlay("commands", title, "mean of four", records, steps, smooth=True)


def rates_panel(records: Sequence[FlightRecord]) -> Panel:
    """Return the share of neurons that fire in each flight."""
    rates = [100.0 * spike_rate(x.flight) for x in records]
    if not any(np.isfinite(x).any() for x in rates):
        return Panel("spikes", "Spike rate", 120, [], nothing("no spikes in these flights"))
    return _overlay("spikes", "Spike rate", "% of neurons", records, rates, smooth=True)


def energies_panel(records: Sequence[FlightRecord]) -> Panel:
    """Return what each network's operations would have cost, summed over time."""
    target = "loihi"
    title = f"Energy of the network on {TARGET_NAMES[target]}, estimated"
    sums = []
    for record in records:
        ticks = energies(record).get(target)
        empty = np.full(record.flight.time.shape, np.nan)
        sums.append(empty if ticks is None else 1e-3 * np.cumsum(ticks))
    if not any(np.isfinite(x).any() for x in sums):
        return Panel("energy", title, 120, [], nothing("not known of these flights"))
    return _overlay("energy", title, "\u00b5J so far", records, sums)


def _overlay(
    name: str,
    title: str,
    unit: str,
    records: Sequence[FlightRecord],
    values: Sequence[Array],
    *,
    smooth: bool = False,
) -> Panel:
    """Return one line a flight over the time since its policy took over."""
    traces = []
    for number, (record, column) in enumerate(zip(records, values, strict=True)):
        colour, dash = look(number)
        if smooth:
            column = moving_mean(column, smoothing_window(record.flight.time))
        time = record.flight.time - takeover(record.flight)
        traces.append(line(record.name, time, column, colour, dash=dash))
    layout = time_layout(common_span(records), unit, **UNNAMED)
    return Panel(name, title, 240, traces, layout, timed=True)


def latencies_panel(records: Sequence[FlightRecord]) -> Panel:
    """Return the share of commands that took so long, one line a flight."""
    values = [1e3 * x.latencies for x in records]
    values = [x[np.isfinite(x) & (x > 0.0)] for x in values]
    if not any(x.size for x in values):
        return Panel("latency", "Latency", 120, [], nothing("not measured in these flights"))
    edges = latency_edges(np.concatenate(values))
    middles = numbers(0.5 * np.log10(edges[1:] * edges[:-1]))
    traces = []
    for number, (record, x) in enumerate(zip(records, values, strict=True)):
        colour, dash = look(number)
        share = 100.0 * np.histogram(x, bins=edges)[0] / max(x.size, 1)
        traces.append({
            "type": "scatter", "mode": "lines", "name": text(record.name), "x": middles,
            "y": numbers(np.where(share > 0.0, share, np.nan)), "connectgaps": False,
            "line": {"color": colour, "dash": dash, "width": 1.6, "shape": "hvh"},
            "hovertemplate": "%{y:.2f} %",
        })  # fmt: skip
    layout = latency_layout(edges[0], edges[-1])
    layout["yaxis"]["title"] = {"text": "% of ticks", "standoff": 6}
    return Panel("latency", "Latency", 260, traces, {**layout, "showlegend": False})
