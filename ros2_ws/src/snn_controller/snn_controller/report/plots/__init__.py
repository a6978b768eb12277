"""Pictures by matplotlib, and the style that they share."""

from snn_controller.report.plots.flight import draw_flight
from snn_controller.report.plots.spikes import draw_raster
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
    drawable,
    head,
    name_lines,
    note,
    write_picture,
)

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
