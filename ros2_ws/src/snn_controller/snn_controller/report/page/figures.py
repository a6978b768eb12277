"""Pieces of the flight page's figures: plain dictionaries in plotly's terms, strict JSON inside."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from snn_controller.flight_log import FlightColumns
from snn_controller.report.plots.style import (
    BLUE,
    FAILURE,
    FAINT,
    GREEN,
    INK,
    LAYERS,
    MODE_SHADES,
    ORANGE,
    PURPLE,
    SUCCESS,
)
from snn_controller.report.series import drawable, mode_spans
from snn_controller.vehicle import Array

LIGHT = {
    "page": "#f4f6f8", "surface": "#ffffff", "ink": INK, "grey": "#616e7c", "faint": FAINT,
    "blue": BLUE, "orange": ORANGE, "green": GREEN, "purple": PURPLE, "sky": "#56b4e9",
    "red": "#d55e00", "shadow": "#cbd2d9", "success": SUCCESS, "failure": FAILURE,
    **{f"layer{number}": colour for number, colour in enumerate(LAYERS)},
    **{f"mode-{mode}": colour for mode, colour in MODE_SHADES.items()},
    "mode-policy": "#9cc9e3",
}  # fmt: skip
DARK = {
    "page": "#12171c", "surface": "#1b2229", "ink": "#e4e9ee", "grey": "#98a5b3",
    "faint": "#323c46", "blue": "#4ba3dc", "orange": "#f0b429", "green": "#2fbf93",
    "purple": "#dd9cbd", "sky": "#8fd0f5", "red": "#f08040", "shadow": "#46525e",
    "success": "#3ec79f",
    "failure": "#ff8a5c", "layer0": "#7fb2e8", "layer1": "#3fcfa4", "layer2": "#e0a458",
    "layer3": "#d99ac2", "mode-policy": "#24506b", "mode-disarmed": "#2b343d",
    "mode-checks": "#2b343d", "mode-arming": "#2b343d", "mode-armed": "#2b343d",
    "mode-takeoff": "#22364a", "mode-land": "#22364a", "mode-fallback": "#4a3a15",
    "mode-descent": "#54291c", "mode-killed": "#39414a", "mode-pilot": "#3a3150",
}  # fmt: skip
AXES_COLOURS = ("@blue", "@orange", "@green")
LINES = ("@blue", "@orange", "@green", "@purple", "@red", "@sky", "@grey", "@ink")
LAYER_COLOURS = tuple(f"@layer{number}" for number in range(len(LAYERS)))


def variables() -> str:
    """Return the colours as CSS custom properties for both schemes."""
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in scheme.items())
        for scheme in (LIGHT, DARK)
    )
    return f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"


POINTS = 6000  # of a line; a minute at 100 Hz is drawn tick by tick
DECIMALS = 5
SHADED_SPANS = 200  # a flight that changes its mode more often is left unshaded
MARGINS = {"l": 64, "r": 14, "t": 30, "b": 30}  # pixels
UNNAMED = {"margin": {**MARGINS, "t": 10}, "showlegend": False}  # of panels without a legend


@dataclass(frozen=True)
class Panel:
    """One figure of the page with its headline."""

    name: str
    title: str
    height: int  # pixels
    traces: Sequence[dict[str, Any]]
    layout: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    timed: bool = False  # its x axis is the flight's time, shared with the others
    home: tuple[float, float] | None = None  # s, shown at first where that is not everything
    clock: dict[str, Any] | None = None  # time, x, y, z of the dot that follows the pointer

    def figure(self) -> dict[str, Any]:
        """Return what the page's script draws."""
        return {
            "name": self.name,
            "traces": list(self.traces),
            "layout": self.layout,
            "timed": self.timed,
            "home": self.home,
            "clock": self.clock,
        }


def text(words: object) -> str:
    """Return words that plotly and the page's script show as they are, tags and all."""
    return html.escape(str(words)).replace("@", "&#64;")


def numbers(values: ArrayLike, decimals: int = DECIMALS) -> list[float | None]:
    """Return a JSON list of values (n,), None for what JSON cannot hold."""
    rounded = np.round(np.asarray(values, dtype=np.float64), decimals)
    finite = np.isfinite(rounded).tolist()
    return [x if known else None for x, known in zip(rounded.tolist(), finite, strict=True)]


def envelope(time: Array, values: Array, points: int = POINTS) -> tuple[Array, Array]:
    """Return at most `points` of the samples (n,), with the lowest and highest of every stretch."""
    if values.size <= points:
        return time, values
    size = -(-2 * values.size // points)
    stretches = -(-values.size // size)
    padded = np.full(stretches * size, np.nan)
    padded[: values.size] = values
    padded = padded.reshape(stretches, size)
    lowest = np.argmin(np.where(np.isnan(padded), np.inf, padded), axis=1)
    highest = np.argmax(np.where(np.isnan(padded), -np.inf, padded), axis=1)
    rows = np.unique((np.c_[lowest, highest] + size * np.arange(stretches)[:, None]).ravel())
    return time[rows], values[rows]


def line(name: str, time: Array, values: Array, colour: str, **style: Any) -> dict[str, Any]:
    """Return a line over time in s; what no axis can hold is a gap."""
    x, y = envelope(time, drawable(values))
    shape = {"color": colour, "width": style.pop("width", 1.4), "dash": style.pop("dash", "solid")}
    trace = {"type": "scatter", "mode": "lines", "name": text(name), "line": shape}
    return {**trace, "x": numbers(x, 4), "y": numbers(y), **style}


def coordinates(points: Array) -> dict[str, list[float | None]]:
    """Return points (n, 3) as plotly takes them."""
    return {axis: numbers(column) for axis, column in zip("xyz", points.T, strict=True)}


def path_line(name: str, points: Array, colour: str, **style: Any) -> dict[str, Any]:
    """Return points (n, 3) in m joined in space; thinned evenly where there are too many."""
    step = max(1, -(-len(points) // POINTS))
    points = drawable(points)[::step]
    trace = {"type": "scatter3d", "mode": "lines", "name": text(name), "hoverinfo": "name"}
    width = {"color": colour, "width": style.pop("width", 4)}
    return {**trace, "line": width, **coordinates(points), **style}


def marks(name: str, points: Array, colour: str, symbol: str) -> dict[str, Any]:
    """Return points (n, 3) in m as markers in space."""
    marker = {"color": colour, "symbol": symbol, "size": 5}
    trace = {"type": "scatter3d", "mode": "markers", "name": text(name), "hoverinfo": "name"}
    return {**trace, "marker": marker, **coordinates(points)}


def time_layout(span: tuple[float, float], unit: str, **more: Any) -> dict[str, Any]:
    """Return the layout of a panel over time (from, to) in s."""
    return {
        "margin": MARGINS,
        "hovermode": "x unified",
        "xaxis": {"range": list(span), "hoverformat": ".2f", "ticksuffix": " s"},
        "yaxis": {"title": {"text": text(unit), "standoff": 6}},
        **more,
    }


def time_span(flight: FlightColumns) -> tuple[float, float]:
    """Return begin and end of a flight in s, never the same."""
    if not flight.time.size:
        return 0.0, 1.0
    begin, end = float(flight.time[0]), float(flight.time[-1])
    return begin, max(end, begin + 0.01)


def mode_shapes(flight: FlightColumns) -> list[dict[str, Any]]:
    """Return shades behind a panel over time where another mode than `policy` was in force."""
    spans = [span for span in mode_spans(flight) if span[0] in MODE_SHADES]
    return [
        {
            "type": "rect", "layer": "below", "line": {"width": 0},
            "xref": "x", "yref": "paper", "y0": 0, "y1": 1,
            "x0": begin, "x1": end, "fillcolor": f"@mode-{mode}",
        }
        for mode, begin, end in spans[: SHADED_SPANS if len(spans) <= SHADED_SPANS else 0]
    ]  # fmt: skip


def nothing(words: str) -> dict[str, Any]:
    """Return the layout of a panel that has nothing to show but a sentence."""
    sentence = {"text": text(words), "showarrow": False, "font": {"color": "@grey", "size": 13}}
    place = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    hidden = {"visible": False}
    return {"annotations": [{**sentence, **place}], "xaxis": hidden, "yaxis": hidden}


def upright(place: float, **style: Any) -> dict[str, Any]:
    """Return a dotted line across a panel at a place on its x axis."""
    ends = {"x0": place, "x1": place, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **ends, "line": {"color": "@ink", "width": 1, "dash": "dot"}, **style}


def first_and_last(points: Array) -> Iterable[Array]:
    """Yield the first and the last finite point (1, 3), or nothing."""
    known = points[np.isfinite(drawable(points)).all(axis=1)]
    if known.size:
        yield known[:1]
        yield known[-1:]
