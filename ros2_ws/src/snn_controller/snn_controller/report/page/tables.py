"""Tables of the flight page: key figures, verdicts, and every figure of several flights."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from snn_controller.flight_log import FlightRecord
from snn_controller.report.page.network import TARGET_NAMES, joules

Report = Mapping[str, Any]
MOST_ENTRIES = 300  # of the table of verdicts


@dataclass(frozen=True)
class Row:
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
            yield name, length(report[key])
    if report["max_error_m"] is not None:
        yield "largest error", length(report["max_error_m"])
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


def _row(row: Row) -> str:
    known = [x for x in row.values if x is not None]
    best = min(known) if len(known) > 1 and min(known) < max(known) else None
    values = row.values or (None,) * len(row.cells)
    cells = "".join(
        f"<td{' class=best' if best is not None and value == best else ''}>{escape(cell)}</td>"
        for cell, value in zip(row.cells, values, strict=True)
    )
    return f"<tr><th>{escape(row.name)}</th>{cells}</tr>"


def _rows(reports: Sequence[Report]) -> Iterator[Row]:
    """Yield the figures of some reports, words first."""

    def words(name: str, say: Callable[[Report], object]) -> Row:
        return Row(name, tuple(str(say(x)) for x in reports))

    yield words("survived", lambda x: "yes" if x["survived"] else f"no: {x['failure']}")
    yield words("task", lambda x: x["task"])
    yield words("seed", lambda x: _number(x["seed"], ".0f"))
    yield words("policy", policy_name)
    yield words("link", lambda x: f"{x['link']}{', lockstep' if x['lockstep'] else ''}")
    yield from _measured(reports)
    yield words("motion", lambda x: x["motion_sha256"][:12])
    yield words("versions", lambda x: ", ".join(f"{k} {v}" for k, v in x["versions"].items()))


def _measured(reports: Sequence[Report]) -> Iterator[Row]:
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
        yield Row(name, tuple("\u2013" if x is None else joules(x) for x in spent))
    yield _compare(reports, "action step", ".4f", "", "action_step")


def _compare(
    reports: Sequence[Report], name: str, form: str, unit: str, *keys: str, compared: bool = True
) -> Row:
    """Return the row of a figure that lies under some keys."""
    values = []
    for report in reports:
        value: Any = report
        for key in keys:
            value = (value or {}).get(key)
        values.append(value)
    cells = tuple("\u2013" if x is None else f"{x:{form}}{unit}" for x in values)
    return Row(name, cells, tuple(values) if compared else ())


def policy_name(report: Report) -> str:
    """Return the file that flew with the beginning of its hash."""
    if report["policy"] is None:
        return "none, the guide flew"
    return f"{PurePath(report['policy']).name} {(report['policy_sha256'] or '')[:8]}".strip()


def length(metres: float) -> str:
    """Return a length in words of a fitting unit."""
    return f"{100.0 * metres:.1f} cm" if metres < 1.0 else f"{metres:.2f} m"


def _number(value: float | None, form: str = ".2f") -> str:
    return "\u2013" if not isinstance(value, (int, float)) else f"{value:{form}}"
