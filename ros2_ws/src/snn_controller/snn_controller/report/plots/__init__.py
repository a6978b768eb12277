"""Pictures by matplotlib, and the style that they share."""

from snn_controller.report.plots.flight import draw_flight, draw_raster
from snn_controller.report.plots.style import (
    BLUE,
    FAILURE,
    FLIGHT_SIZE,
    GREEN,
    GREY,
    INK,
    MOTORS,
    ORANGE,
    PURPLE,
    head,
    name_lines,
    note,
    write_picture,
)
from snn_controller.report.series import drawable

__all__ = [
    "BLUE",
    "FAILURE",
    "FLIGHT_SIZE",
    "GREEN",
    "GREY",
    "INK",
    "MOTORS",
    "ORANGE",
    "PURPLE",
    "draw_flight",
    "draw_raster",
    "drawable",
    "head",
    "name_lines",
    "note",
    "write_picture",
]
