"""One picture of a replay: recorded and replayed actions, and how far they are apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snn_controller.replay.replay import ReplayedFlight
from snn_controller.report.plots import (
    FAILURE,
    FLIGHT_SIZE,
    GREY,
    INK,
    MOTORS,
    drawable,
    head,
    note,
    write_picture,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


NAMES = {
    "motors": ("m1", "m2", "m3", "m4"),
    "thrust_rates": ("thrust", "roll rate", "pitch rate", "yaw rate"),
}
SMALLEST = 1e-8  # below the resolution of the actions: drawn where they are equal


def draw_replay(replay: ReplayedFlight, summary: Mapping[str, Any], path: Path) -> None:
    """Draw a replay into one PNG file.

    Args:
        replay: The replay.
        summary: What `summarise_replay` says about it.
        path: File to write; it appears whole or not at all.

    Raises:
        UserError: matplotlib is missing or the file cannot be written.
    """
    write_picture(path, lambda figure: _draw(figure, replay, summary), size=FLIGHT_SIZE)


def _draw(figure: Figure, replay: ReplayedFlight, summary: Mapping[str, Any]) -> None:
    flown, replayed = summary["flown"], summary["replayed"]
    figure.text(0.05, 0.96, f"Replay of {flown['policy']}", fontsize=14, fontweight="bold")
    equal = f"{summary['equal_ticks']:,} of {summary['judged_ticks']:,} ticks equal to the bit"
    which = "the same file" if summary["same_artifact"] else f"another: {replayed['policy']}"
    figure.text(0.05, 0.93, f"{summary['task']}, replayed by {which}; {equal}", color=INK)
    grid = figure.add_gridspec(
        5, 1, height_ratios=(2, 2, 2, 2, 2.4), left=0.05, right=0.985, top=0.88, bottom=0.065,
        hspace=0.55,
    )  # fmt: skip
    first = None
    for number, name in enumerate(NAMES[replay.policy.metadata.action_kind]):
        axes = figure.add_subplot(grid[number], sharex=first)
        first = first or axes
        _draw_action(axes, replay, number, name)
    axes = figure.add_subplot(grid[4], sharex=first)
    _draw_difference(axes, replay)
    axes.set_xlabel("time [s]")


def _draw_action(axes: Axes, replay: ReplayedFlight, number: int, name: str) -> None:
    time, colour = replay.flight.time, MOTORS[number]
    recorded, replayed = (
        drawable(x[:, number].astype(np.float64)) for x in (replay.flight.action, replay.actions)
    )
    axes.plot(time, recorded, color=GREY, linewidth=2.4, alpha=0.5)
    axes.plot(time, replayed, color=colour, linewidth=0.8)
    head(axes, name)
    if number == 0:
        note(axes, "grey: recorded, coloured: replayed")
    axes.tick_params(labelbottom=False)


def _draw_difference(axes: Axes, replay: ReplayedFlight) -> None:
    shown = np.where(replay.equal, SMALLEST, np.maximum(replay.difference, SMALLEST))
    axes.semilogy(replay.flight.time, drawable(shown), color=FAILURE, linewidth=0.8)
    axes.set_ylim(SMALLEST / 2, 4.0)
    row = replay.first_difference
    if row is not None:
        time = float(replay.flight.time[row])
        axes.axvline(time, color=INK, linewidth=0.8, linestyle=":")
        note(axes, f"dotted: first difference, at {time:.2f} s")
    else:
        note(axes, "no difference")
    head(axes, "largest difference of the four actions (bottom: equal)")
