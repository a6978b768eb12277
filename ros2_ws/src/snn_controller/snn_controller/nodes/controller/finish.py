"""What a flight leaves behind: report, picture, a summary on the screen, an exit code."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from snn_controller.errors import UserError
from snn_controller.flight import ControllerSettings, Flight
from snn_controller.flight_log import record_of
from snn_controller.nodes.ros.main import EXIT_USER_ERROR
from snn_controller.report import format_summary, report_flight, write_report
from snn_controller.report.page import PAGE_FILE, plotly_script, write_page
from snn_controller.report.plots import draw_flight


def finish_flight(flight: Flight, settings: ControllerSettings, folder: Path, logger: Any) -> int:
    """Write and print the report of a flown flight; return the exit code that it stands for.

    Args:
        flight: The flight, which is over.
        settings: The controller's parameters.
        folder: Where report and picture go.
        logger: The node's, for what cannot be written.
    """
    report = report_flight(flight, settings)
    code = 0 if report["survived"] else 1
    lines = [format_summary(report)]
    try:
        lines.append(f"report: {write_report(folder, report, flight.log)}")
        if settings.plot:
            _draw(flight, report, folder, logger)
    except UserError as error:
        logger.error(str(error))
        code = EXIT_USER_ERROR
    with suppress(BrokenPipeError):  # nobody listens any more when the launcher was killed
        print(*lines, sep="\n", flush=True)
    return code


def _draw(flight: Flight, report: dict[str, Any], folder: Path, logger: Any) -> None:
    """Draw picture and page; without plotly there is no page, which fails no flight."""
    draw_flight(flight.log, report, folder / "flight.png")
    try:
        plotly_script()
    except UserError as error:
        logger.warning(str(error))
        return
    write_page([record_of(folder.name, report, flight.log)], folder / PAGE_FILE)
