"""The flight picture's view into space: the flown path against its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from snn_controller.flight_log import FlightColumns
from snn_controller.report.plots.style import (
    BLUE,
    FAILURE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    drawable,
    head,
)
from snn_controller.report.survival import POLICY_MODE
from snn_controller.vehicle import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec


SMALLEST_SIDE = 0.2  # m, of the box, so that a still hover does not look wild
FLATTEST = 0.5  # smallest side of the box as a share of its largest


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


def path_box(points: Array) -> tuple[Array, Array]:
    """Return the corners (3,) of the box to show: around all points, and not too flat."""
    points = points[np.isfinite(points).all(axis=1)]
    if not points.size:
        points = np.zeros((1, 3))
    lower, upper = points.min(axis=0), points.max(axis=0)
    sides = 1.1 * (upper - lower)
    sides = np.maximum(sides, max(SMALLEST_SIDE, FLATTEST * float(sides.max())))
    middle = 0.5 * (lower + upper)
    return middle - 0.5 * sides, middle + 0.5 * sides
