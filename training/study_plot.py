"""Learning curves of a study: mean over seeds, with a band of one sample standard deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snn_controller.plot_picture import write_picture
from snn_controller.plot_style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, head, note

from training.results import Result
from training.studies import Axis
from training.study_statistics import band, curve_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colour, line and marker together tell settings apart, so that colour is never alone. Their numbers
# have no common factor for colours and markers, so 56 settings look different.
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, INK, "#56b4e9", "#d55e00", GREY)
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PANELS = (("return_end", "return, end coefficients"), ("survival", "survival"))


def draw_curves(
    path: Path, results: Mapping[str, Sequence[Result]], *, axis: Axis, title: str
) -> None:
    """Draw the learning curves of every setting into a PNG file."""

    def fill(figure: Figure) -> None:
        panels = figure.subplots(1, len(PANELS), sharex=True)
        for panel, (column, label) in zip(panels, PANELS, strict=True):
            for place, (setting, runs) in enumerate(results.items()):
                _draw_setting(panel, place, setting, runs, axis=axis, column=column)
            head(panel, label)
            panel.set_xlabel("minutes of processor time" if axis == "minutes" else axis)
            panel.ticklabel_format(axis="x", style="sci", scilimits=(0, 4))
        note(panels[0], "validation, standard starts")
        note(panels[-1], "mean and standard deviation")
        names = panels[0].get_legend_handles_labels()
        figure.legend(*names, loc="outside right upper") if names[0] else None
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        figure.set_layout_engine("constrained")

    write_picture(path, fill, size=(10.0, 4.2), resolution=120)


def _draw_setting(
    panel: Axes, place: int, setting: str, runs: Sequence[Result], *, axis: Axis, column: str
) -> None:
    summary = band([curve_of(result, axis, column) for result in runs])
    if summary is None:
        return
    x, mean, deviation = summary
    colour, line, marker = style_of(place)
    label = f"{setting} (n = {len(runs)})"
    panel.plot(x, mean, line, color=colour, marker=marker, markersize=3.5, label=label)
    panel.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)


def style_of(place: int) -> tuple[str, str, str]:
    """Return colour, line and marker of the setting at a place in its study."""
    return COLOURS[place % len(COLOURS)], LINES[place % len(LINES)], MARKERS[place % len(MARKERS)]
