"""One HTML file that shows a flight, or lays several over each other. Needs no network.

The figures are plain JSON and plotly's script draws them; both are packed into the file. plotly is
never imported: only its script is read from where it is installed.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

from snn_controller.errors import UserError
from snn_controller.flight_log import FlightRecord
from snn_controller.report.page.compare import compare_panels, look
from snn_controller.report.page.figures import Panel, variables
from snn_controller.report.page.motion import (
    attitude_panel,
    command_panel,
    error_panel,
    latency_panel,
    path_panel,
    timeline_panel,
)
from snn_controller.report.page.network import energy_panel, membrane_panel, raster_panel
from snn_controller.report.page.tables import (
    escape,
    figures_table,
    key_figures,
    policy_name,
    verdict_table,
)
from snn_controller.system import write_atomically

PAGE_FILE = "flight.html"
NO_PLOTLY = "plotly is not installed, so no page of the flight is drawn; run: pip install plotly"
SCRIPT = Path("package_data") / "plotly.min.js"  # where plotly keeps it
# Whatever the file holds, a browser that opens it fetches nothing and sends nothing.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data: blob:; base-uri 'none'; form-action 'none'"
)


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
