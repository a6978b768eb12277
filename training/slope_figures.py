"""The figures of the slope study, like the paper's, with the paper's values in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from snn_controller.plot_picture import write_picture
from snn_controller.plot_style import BLUE, INK, ORANGE, head, note

from training.alignment_study import PUBLISHED, PUBLISHED_DEPTH, SLOPES
from training.slope_summary import LEARNERS, Runs, best_return, reached
from training.slope_summary import PUBLISHED as PUBLISHED_LEARNING
from training.study_plot import style_of
from training.study_statistics import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_alignment(path: Path, found: Mapping[str, Any]) -> None:
    """Draw gradient size and cosines by layer, slope and depth into a PNG file."""
    config = found["config"]
    share, depth = config["shares"][0], max(config["small_depths"])
    published = found.get(f"reference-{PUBLISHED_DEPTH}", {})

    def fill(panels: Any) -> None:
        size, cosines, by_depth, true = panels
        _lines(size, published, "sizes")
        size.set_yscale("log")
        _lines(cosines, published, "cosines")
        _rings(size, cosines)
        _lines(by_depth, _first_layers(found), "cosines", config["depths"])
        by_depth.set_xscale("log", base=2)
        part = found[f"smoothed-{depth}-{share}"]
        _lines(true, part["slopes"], "cosines")
        true.plot(part["reliability"], color=INK, linestyle=":", label="reach of the estimate")
        heads = (
            "mean size",
            "cosine, k = 100",
            "layer 0, cosine, k = 100",
            "cosine, smoothed loss",
        )
        for panel, text in zip(panels, heads, strict=True):
            head(panel, text)
            panel.set_xlabel("LIF layers" if panel is by_depth else "layer")
        note(size, "rings: paper")
        panels[0].figure.legend(*true.get_legend_handles_labels(), loc="outside right upper")

    _save(path, 4, fill)


def draw_learning(path: Path, learning: Mapping[str, Runs]) -> None:
    """Draw the speed to return 100 and the best return of every learner into a PNG file."""

    def fill(panels: Any) -> None:
        for column, (study, runs) in enumerate(learning.items()):
            fast, best = panels[0][column], panels[1][column]
            head(fast, LEARNERS[study])
            paper = PUBLISHED_LEARNING.get(study, {})
            times = {label: reached(study, found).spread for label, found in runs.items()}
            _bars(fast, times, {label: (x[0], x[1]) for label, x in paper.items()}, apart=True)
            returns = {label: best_return(found) for label, found in runs.items()}
            _bars(best, returns, {label: (x[2], 0.0) for label, x in paper.items()})
        panels[0][0].set_ylabel("ours: steps to return 100")
        panels[1][0].set_ylabel("best validation return")
        note(panels[0][-1], "orange, right axis: paper, epochs")

    _save(path, 3, fill, rows=2)


def _bars(
    panel: Axes,
    ours: Mapping[str, Spread | None],
    paper: Mapping[str, tuple[float, float]],
    *,
    apart: bool = False,
) -> None:
    """Draw bars of ours and, beside them, the paper's, on an axis of its own if `apart`."""
    other = cast("Axes", panel.twinx()) if apart and paper else panel
    for place, (label, found) in enumerate(ours.items()):
        if found is not None:
            deviation = 0.0 if math.isnan(found.deviation) else found.deviation
            panel.bar(place - 0.2, found.mean, 0.38, yerr=deviation, color=BLUE, ecolor=INK)
        if label in paper:
            mean, deviation = paper[label]
            other.bar(place + 0.2, mean, 0.38, yerr=deviation, color=ORANGE, ecolor=INK)
    if other is not panel:
        other.grid(False)
    names = [
        f"{label.removeprefix('fixed-')}\nn={found.count if found else 0}"
        for label, found in ours.items()
    ]
    panel.set_xticks(range(len(ours)), names, fontsize=6)


def _rings(size: Axes, cosines: Axes) -> None:
    """Draw the paper's values."""
    for place, slope in enumerate(SLOPES):
        if slope in PUBLISHED:
            colour, _, marker = style_of(place)
            look: Any = {"color": colour, "marker": marker, "fillstyle": "none", "linestyle": ""}
            size.plot([0], [PUBLISHED[slope][0]], markersize=9, **look)
            cosines.plot(range(4), PUBLISHED[slope][1], markersize=9, **look)


def _first_layers(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return slope -> cosines of layer 0 by depth."""
    parts = [found[f"reference-{depth}"] for depth in found["config"]["depths"]]
    slopes = {slope: [part[slope]["cosines"][0] for part in parts] for slope in parts[0]}
    return {slope: {"cosines": cosines} for slope, cosines in slopes.items()}


def _lines(panel: Axes, part: Mapping[str, Any], key: str, places: list[int] | None = None) -> None:
    for place, slope in enumerate(SLOPES):
        if (numbers := part.get(f"{slope:g}")) is not None:
            colour, line, marker = style_of(place)
            where = places if places is not None else list(range(len(numbers[key])))
            look = {"color": colour, "marker": marker, "markersize": 4, "label": f"k = {slope:g}"}
            panel.plot(where, numbers[key], line, **cast(Any, look))


def _save(path: Path, columns: int, fill: Callable[[Any], None], *, rows: int = 1) -> None:
    def draw(figure: Figure) -> None:
        fill(figure.subplots(rows, columns))
        figure.set_layout_engine("constrained")

    write_picture(path, draw, size=(13.0, 3.6 * rows), resolution=110)
