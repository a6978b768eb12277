"""Console script `snn-report`: draws the page of a flight again, or of several over each other.

Exit code 0 when the page was written, 2 for a wrong argument, a damaged flight or a missing part.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from snn_controller.errors import UserError
from snn_controller.flight_log import REPORT_FILE, TICKS_FILE, FlightRecord, read_record
from snn_controller.report.page.page import PAGE_FILE, write_page

EXIT_USER_ERROR = 2
COMPARISON_FILE = "compare.html"
MOST_FLIGHTS = 32


def main() -> None:
    """Run `snn-report`."""
    try:
        print(f"page: {draw_pages(sys.argv[1:])}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


def draw_pages(words: Sequence[str]) -> Path:
    """Write the page that the command line asks for and return its path.

    Raises:
        UserError: A flight cannot be read, or the page cannot be written.
    """
    options = _parser().parse_args(words)
    if len(options.flights) > MOST_FLIGHTS:
        raise UserError(
            f"{len(options.flights)} flights cannot be told apart on one page; name at most"
            f" {MOST_FLIGHTS}"
        )
    folders = [_folder(flight) for flight in options.flights]
    records = tell_apart([read_record(folder) for folder in folders], folders)
    default = folders[0] / PAGE_FILE if len(folders) == 1 else Path(COMPARISON_FILE)
    path = (options.output or default).absolute()
    write_page(records, path)
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snn-report",
        description="Draw the page of a flight again, or of several flights over each other.",
    )
    parser.add_argument(
        "flights", nargs="+", type=Path, metavar="FLIGHT_FOLDER",
        help="folder of a flight report, with report.json and flight.npz",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path,
        help=f"file to write; {PAGE_FILE} in the flight's folder, or {COMPARISON_FILE} here",
    )  # fmt: skip
    return parser


def _folder(flight: Path) -> Path:
    """Return a flight's folder, also where one of its files is named.

    Raises:
        UserError: It is a file of something else.
    """
    if not flight.is_file():
        return flight
    if flight.name not in (REPORT_FILE, TICKS_FILE, PAGE_FILE):
        raise UserError(
            f"{flight} is no flight; give the folder that a flight printed, with {REPORT_FILE} and"
            f" {TICKS_FILE} in it"
        )
    return flight.parent


def tell_apart(records: Sequence[FlightRecord], folders: Sequence[Path]) -> list[FlightRecord]:
    """Return the flights with names that differ: longer paths, or numbers for the same one."""
    names = [record.name for record in records]
    if len(set(names)) < len(names):
        names = [str(Path(*folder.resolve().parts[-2:])) for folder in folders]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, start=1)]
    return [replace(record, name=name) for record, name in zip(records, names, strict=True)]


if __name__ == "__main__":
    main()


if __name__ == "__main__":
    main()
