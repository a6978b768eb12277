"""What a flight was: summary, survival, one line while it lasts; `plots` and `page` draw it."""

from snn_controller.report.dashboard import dashboard_line, fit
from snn_controller.report.summary import (
    FlightFacts,
    flight_info,
    format_summary,
    report_flight,
    summarise,
    versions,
    write_report,
)
from snn_controller.report.survival import POLICY_MODE, FlightBounds, find_failure

__all__ = [
    "POLICY_MODE",
    "FlightBounds",
    "FlightFacts",
    "dashboard_line",
    "find_failure",
    "fit",
    "flight_info",
    "format_summary",
    "report_flight",
    "summarise",
    "versions",
    "write_report",
]
