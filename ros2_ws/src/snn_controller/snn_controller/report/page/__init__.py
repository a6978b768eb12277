"""The page of a flight: one HTML file to look into."""

from snn_controller.report.page.page import PAGE_FILE, plotly_script, write_page

__all__ = [
    "PAGE_FILE",
    "plotly_script",
    "write_page",
]
