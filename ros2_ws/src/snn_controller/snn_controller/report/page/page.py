"""One HTML file that shows a flight, or lays several over each other. Needs no network.

The figures are plain JSON and plotly's script draws them; both are packed into the file. plotly is
never imported: only its script is read from where it is installed. The console script `snn-report`
draws the page of a flight again, or of several over each other: exit code 0 when it was written, 2
for a wrong argument, a damaged flight or a missing part.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import html
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from snn_controller.errors import UserError
from snn_controller.flight_log import REPORT_FILE, TICKS_FILE, FlightRecord, read_record
from snn_controller.report.page.compare import compare_panels, look
from snn_controller.report.page.figures import Panel, variables
from snn_controller.report.page.panels import (
    TARGET_NAMES,
    attitude_panel,
    command_panel,
    energy_panel,
    error_panel,
    joules,
    latency_panel,
    membrane_panel,
    path_panel,
    raster_panel,
    timeline_panel,
)
from snn_controller.report.series import length_in_words
from snn_controller.system import write_atomically

PAGE_FILE = "flight.html"
NO_PLOTLY = "plotly is not installed, so no page of the flight is drawn; run: pip install plotly"
SCRIPT = Path("package_data") / "plotly.min.js"  # where plotly keeps it
# Whatever the file holds, a browser that opens it fetches nothing and sends nothing.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data: blob:; base-uri 'none'; form-action 'none'"
)

Report = Mapping[str, Any]
MOST_ENTRIES = 300  # of the table of verdicts
EXIT_USER_ERROR = 2
COMPARISON_FILE = "compare.html"
MOST_FLIGHTS = 32


def write_page(records: Sequence[FlightRecord], path: Path) -> None:
    """Write the page of one flight, or of several beside each other.

    Args:
        records: The flights, at least one.
        path: File to write; it appears whole or not at all.

    Raises:
        UserError: plotly is missing, or the file cannot be written.
    """
    script = plotly_script()
    page = flight_page(records[0]) if len(records) == 1 else compare_page(records)
    write_atomically(path, _document(*page, script).encode())


def plotly_script() -> bytes:
    """Return the script that draws, without importing plotly, which takes a while.

    Raises:
        UserError: It is not installed.
    """
    package = importlib.util.find_spec("plotly")
    for folder in package.submodule_search_locations or () if package else ():
        try:
            return (Path(folder) / SCRIPT).read_bytes()
        except OSError:
            continue
    raise UserError(NO_PLOTLY)


def flight_page(record: FlightRecord) -> tuple[str, str, list[Panel]]:
    """Return title, body and figures of the page of one flight."""
    report = record.report
    left = [path_panel(record), membrane_panel(record), latency_panel(record)]
    right = [
        timeline_panel(record),
        error_panel(record),
        command_panel(record),
        raster_panel(record),
        energy_panel(record),
        attitude_panel(record),
    ]
    lockstep = ", lockstep" if report["lockstep"] else ""
    sub = f"{policy_name(report)} \u00b7 link {report['link']}{lockstep} \u00b7 {record.name}"
    verdicts = f"<h2>Modes and verdicts</h2>{verdict_table(report)}"
    body = [
        _headline(report["survived"], report["task"], report["failure"], sub),
        key_figures(report),
        _columns(left, right, f"<section class=panel>{verdicts}</section>"),
        f"<details class=panel><summary>All figures</summary>{figures_table([record])}</details>",
    ]
    result = "survived" if report["survived"] else "did not survive"
    return f"{report['task']}: {result}", "".join(body), [*left, *right]


def compare_page(records: Sequence[FlightRecord]) -> tuple[str, str, list[Panel]]:
    """Return title, body and figures of a page of several flights."""
    left, right = compare_panels(records)
    survived = sum(bool(x.report["survived"]) for x in records)
    tasks = ", ".join(dict.fromkeys(x.report["task"] for x in records))
    heads = [_flight_head(number, x) for number, x in enumerate(records)]
    sub = "times count from when each policy took over"
    body = [
        f"<header><h1>{len(records)} flights: {escape(tasks)}</h1>"
        f"<p>{survived} of {len(records)} survived \u00b7 {sub}</p></header>",
        f"<ol class=flights>{''.join(f'<li>{x}</li>' for x in heads)}</ol>",
        _columns(left, right),
        "<section class=panel><h2>Figures</h2><p class=note>bold: the lowest, which is the best</p>"
        f"<div class=wide>{figures_table(records, heads=heads)}</div></section>",
    ]
    return f"{len(records)} flights: {tasks}", "".join(body), [*left, *right]


def _flight_head(number: int, record: FlightRecord) -> str:
    colour, dash = look(number)
    line = "solid" if dash == "solid" else "dashed"
    mark = "\u2713" if record.report["survived"] else "\u2717"
    swatch = f'<i style="border-top:3px {line} var(--{colour[1:]})"></i>'
    return f"{swatch}{number + 1} {escape(record.name)} {mark}"


def _headline(survived: bool, task: str, failure: str | None, sub: str) -> str:
    mark, kind = ("\u2713", "success") if survived else ("\u2717", "failure")
    result = "survived" if survived else f"did not survive: {failure}"
    return (
        f"<header><h1 class={kind}>{mark} {escape(task)} \u00b7 {escape(result)}</h1>"
        f"<p>{escape(sub)}</p></header>"
    )


def _columns(left: Sequence[Panel], right: Sequence[Panel], below: str = "") -> str:
    """Return the figures in two columns, with more below those on the left."""
    first, second = ("".join(_section(panel) for panel in side) for side in (left, right))
    return f"<main><div class=column>{first}{below}</div><div class=column>{second}</div></main>"


def _section(panel: Panel) -> str:
    note = f"<p class=note>{escape(panel.note)}</p>" if panel.note else ""
    return (
        f"<section class=panel><div class=head><h2>{escape(panel.title)}</h2>{note}</div>"
        f'<div class=plot id="{panel.name}" style="height:{panel.height}px"></div></section>'
    )


def figures_json(panels: Sequence[Panel]) -> str:
    """Return the figures as strict JSON."""
    return json.dumps([x.figure() for x in panels], allow_nan=False, separators=(",", ":"))


def packed(content: bytes) -> str:
    """Return bytes as text that stands in HTML; equal bytes give equal text."""
    return base64.b64encode(gzip.compress(content, 4, mtime=0)).decode()


def _document(title: str, body: str, panels: Sequence[Panel], script: bytes) -> str:
    here = Path(__file__).parent
    style = variables() + (here / "page.css").read_text(encoding="utf-8")
    drawing = (here / "page.js").read_text(encoding="utf-8")
    data = "".join(
        f'<script type="application/gzip" id="{name}">{packed(content)}</script>'
        for name, content in (("plotly", script), ("figures", figures_json(panels).encode()))
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body>{body}<p id=trouble hidden></p>"
        "<noscript><p>The figures are drawn by a script; allow it to see them.</p></noscript>\n"
        "<!-- plotly.js, copyright Plotly, Inc., MIT licence, is packed into the next element -->\n"
        f"{data}\n<script>{drawing}</script></body></html>\n"
    )


@dataclass(frozen=True)
class FigureRow:
    """One figure of every flight: its words, and the numbers by which flights are compared."""

    name: str
    cells: tuple[str, ...]
    values: tuple[float | None, ...] = ()  # lower is better; empty where nothing is compared


def escape(words: object) -> str:
    """Return words that HTML shows as they are."""
    return html.escape(str(words))


def key_figures(report: Report) -> str:
    """Return the figures that matter as cards."""
    cards = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value in _cards(report)
    )
    return f'<div class="cards">{cards}</div>'


def _cards(report: Report) -> Iterator[tuple[str, str]]:
    """Yield name and value of the key figures that a flight has."""
    yield "flown", f"{_number(report['duration_s'], '.1f')} s"
    for name, key in (("RMS error", "position_rmse_m"), ("steady error", "steady_error_m")):
        if report[key] is not None:
            yield name, length_in_words(report[key])
    if report["max_error_m"] is not None:
        yield "largest error", length_in_words(report["max_error_m"])
    rates = [100.0 * x for x in report["spike_rate"].values() if x is not None]
    if rates:
        yield "% of neurons fire, by layer", " / ".join(f"{x:.1f}" for x in rates)
        yield "synaptic operations a tick", _number(report["synaptic_ops_per_tick"], ",.0f")
    loihi = (report.get("energy_nj_per_tick") or {}).get("loihi")
    if loihi is not None:
        yield "a tick on Loihi, estimated", joules(1e-9 * loihi)
    latency = report["latency_ms"]
    if latency.get("p50") is not None:
        yield "ms latency, p50 / p99", f"{_number(latency['p50'])} / {_number(latency.get('p99'))}"
    yield "ticks, missed", f"{_number(report['ticks'], ',.0f')}, {report['missed_ticks']}"


def verdict_table(report: Report) -> str:
    """Return when the mode changed or a verdict came or went."""
    entries = report["modes"]
    rows = "".join(
        f"<tr><td class=number>{_number(x.get('time_s'))} s</td>"
        f"<td>{escape(x.get('mode', ''))}</td><td>{escape(x.get('verdict', ''))}</td></tr>"
        for x in entries[:MOST_ENTRIES]
    )
    left = len(entries) - MOST_ENTRIES
    more = f"<p class=note>and {left} more, see report.json</p>" if left > 0 else ""
    head = "<tr><th>from</th><th>mode</th><th>verdict</th></tr>"
    return f"<table>{head}{rows}</table>{more}"


def figures_table(records: Sequence[FlightRecord], *, heads: Sequence[str] = ()) -> str:
    """Return every figure, one column a flight; the best of several is marked.

    Args:
        records: The flights.
        heads: HTML of the columns' headlines, none for a table without.
    """
    head = "".join(f"<th>{x}</th>" for x in heads)
    body = "".join(_row(row) for row in _rows([record.report for record in records]))
    return f"<table class=figures>{f'<tr><th></th>{head}</tr>' if heads else ''}{body}</table>"


def _row(row: FigureRow) -> str:
    known = [x for x in row.values if x is not None]
    best = min(known) if len(known) > 1 and min(known) < max(known) else None
    values = row.values or (None,) * len(row.cells)
    cells = "".join(
        f"<td{' class=best' if best is not None and value == best else ''}>{escape(cell)}</td>"
        for cell, value in zip(row.cells, values, strict=True)
    )
    return f"<tr><th>{escape(row.name)}</th>{cells}</tr>"


def _rows(reports: Sequence[Report]) -> Iterator[FigureRow]:
    """Yield the figures of some reports, words first."""

    def words(name: str, say: Callable[[Report], object]) -> FigureRow:
        return FigureRow(name, tuple(str(say(x)) for x in reports))

    yield words("survived", lambda x: "yes" if x["survived"] else f"no: {x['failure']}")
    yield words("task", lambda x: x["task"])
    yield words("seed", lambda x: _number(x["seed"], ".0f"))
    yield words("policy", policy_name)
    yield words("link", lambda x: f"{x['link']}{', lockstep' if x['lockstep'] else ''}")
    yield from _measured(reports)
    yield words("motion", lambda x: x["motion_sha256"][:12])
    yield words("versions", lambda x: ", ".join(f"{k} {v}" for k, v in x["versions"].items()))


def _measured(reports: Sequence[Report]) -> Iterator[FigureRow]:
    """Yield the figures that are numbers, of which less is better."""
    yield _compare(reports, "asked to fly", ".2f", " s", "asked_duration_s", compared=False)
    yield _compare(reports, "flown", ".2f", " s", "duration_s", compared=False)
    alike = len({x["task"] for x in reports}) == 1  # errors of another task say nothing
    for name, key in (("RMS", "position_rmse_m"), ("steady", "steady_error_m"),
                      ("largest", "max_error_m")):  # fmt: skip
        yield _compare(reports, f"{name} error", ".4f", " m", key, compared=alike)
    yield _compare(reports, "ticks", ",.0f", "", "ticks", compared=False)
    yield _compare(reports, "missed ticks", ",.0f", "", "missed_ticks")
    for group, name in (("tick_period_ms", "tick period"), ("latency_ms", "latency")):
        for part in ("p50", "p99", "max"):
            compared = group == "latency_ms"
            yield _compare(reports, f"{name} {part}", ".3f", " ms", group, part, compared=compared)
    for layer in dict.fromkeys(key for x in reports for key in x["spike_rate"]):
        yield _compare(reports, f"spike rate, {layer}", ".4f", "", "spike_rate", layer)
    yield _compare(reports, "synaptic operations a tick", ",.0f", "", "synaptic_ops_per_tick")
    for target in dict.fromkeys(k for x in reports for k in x.get("energy_nj_per_tick") or {}):
        name = f"energy a tick, {TARGET_NAMES.get(target, target)}"
        yield _compare(reports, name, ",.1f", " nJ", "energy_nj_per_tick", target)
    for target in dict.fromkeys(key for x in reports for key in x.get("energy_j") or {}):
        name = f"energy of the flight, {TARGET_NAMES.get(target, target)}"
        spent = [(x.get("energy_j") or {}).get(target) for x in reports]
        yield FigureRow(name, tuple("\u2013" if x is None else joules(x) for x in spent))
    yield _compare(reports, "action step", ".4f", "", "action_step")


def _compare(
    reports: Sequence[Report], name: str, form: str, unit: str, *keys: str, compared: bool = True
) -> FigureRow:
    """Return the row of a figure that lies under some keys."""
    values = []
    for report in reports:
        value: Any = report
        for key in keys:
            value = (value or {}).get(key)
        values.append(value)
    cells = tuple("\u2013" if x is None else f"{x:{form}}{unit}" for x in values)
    return FigureRow(name, cells, tuple(values) if compared else ())


def policy_name(report: Report) -> str:
    """Return the file that flew with the beginning of its hash."""
    if report["policy"] is None:
        return "none, the guide flew"
    return f"{PurePath(report['policy']).name} {(report['policy_sha256'] or '')[:8]}".strip()


def _number(value: float | None, form: str = ".2f") -> str:
    return "\u2013" if not isinstance(value, (int, float)) else f"{value:{form}}"


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
