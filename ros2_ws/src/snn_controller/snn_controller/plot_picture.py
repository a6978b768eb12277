"""Drawing into a PNG file without a screen and without touching matplotlib's global state.

matplotlib is imported on the first picture, so that nothing else needs it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from snn_controller.errors import UserError
from snn_controller.files import write_atomically
from snn_controller.plot_style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
