"""How the flight picture looks: palette, type and the headline that every panel wears.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; nothing is said by
colour alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from snn_controller.errors import UserError
from snn_controller.safety import Mode
from snn_controller.system import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


INK = "#1f2933"
GREY = "#7b8794"
FAINT = "#e4e7eb"
BLUE = "#0072b2"
ORANGE = "#e69f00"
GREEN = "#009e73"
PURPLE = "#cc79a7"
SUCCESS = "#00795c"
FAILURE = "#c43c00"
AXES = {"x": BLUE, "y": ORANGE, "z": GREEN}
MOTORS = (BLUE, ORANGE, GREEN, PURPLE)
LAYERS = ("#1b3a5c", "#00795c", "#7a4b00", "#6b3a5b")  # dark, so that single spikes show
MODE_SHADES = {
    Mode.DISARMED.value: "#e4e7eb",
    Mode.CHECKS.value: "#e4e7eb",
    Mode.ARMING.value: "#e4e7eb",
    Mode.ARMED.value: "#e4e7eb",
    Mode.TAKEOFF.value: "#e3eef6",
    Mode.LAND.value: "#e3eef6",
    Mode.FALLBACK.value: "#fdebc8",
    Mode.DESCENT.value: "#f9dccf",
    Mode.KILLED.value: "#e4e7eb",
    Mode.PILOT.value: "#e6e1ef",
}
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "lines.linewidth": 1.0,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def head(axes: Axes, text: str) -> None:
    """Write a panel's headline above its left edge."""
    axes.set_title(text, loc="left", fontsize=10, fontweight="bold", color=INK, pad=6)


def note(axes: Axes, text: str) -> None:
    """Write a remark above a panel's right edge."""
    axes.set_title(text, loc="right", fontsize=8.5, color=INK, pad=6)


def name_lines(axes: Axes, count: int) -> None:
    """Name the panel's lines in one row above its right edge."""
    legend = axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.005, 0.98),
        ncols=max(count, 1),
        handlelength=1.1,
        handletextpad=0.5,
        columnspacing=1.2,
        borderaxespad=0.2,
    )
    for line in legend.get_lines():
        line.set(linewidth=1.8, alpha=1.0)


def say_nothing(axes: Axes, text: str) -> None:
    """Turn a panel without data into a quiet sentence."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


NO_MATPLOTLIB = "matplotlib is not installed, so nothing can be drawn; pip install matplotlib"
FLIGHT_SIZE = (12.8, 8.0)  # inch: 1600 x 1000 pixels at 125 dots per inch


def write_picture(
    path: Path, fill: Callable[[Figure], None], *, size: tuple[float, float], resolution: int = 125
) -> None:
    """Draw a figure into a PNG file, the same bytes for the same content.

    Args:
        path: File to write; it appears whole or not at all.
        fill: Draws on the figure.
        size: Width and height in inch.
        resolution: Dots per inch.

    Raises:
        UserError: matplotlib is missing, or the file cannot be written or is named as another kind.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"{path} would hold a PNG picture; give a name that ends in .png")
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(NO_MATPLOTLIB) from error
    file = io.BytesIO()
    with rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=size, dpi=resolution)
        fill(figure)
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
    write_atomically(path, file.getvalue())
