"""What a flight page holds, taken apart for tests."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log.log import FlightLog
from snn_controller.flight_log.store import FlightRecord, record_of
from snn_controller.policy.energy import NetworkSize
from snn_controller.report.summary import FlightFacts, summarise
from snn_controller.report.survival import FlightBounds
from support.synthetic_flight import edit, make_flight

NETWORK = NetworkSize(96, 1000)
EVIL = '</script><img src=x onerror="window.hacked=1"><b>@ink'  # as a path, a sentence, a name


def record(log: FlightLog, *, name: str = "mine", **facts: Any) -> FlightRecord:
    facts = {"task": "figure8", "policy": "policy.onnx", "network": NETWORK} | facts
    report = summarise(log, FlightFacts(bounds=FlightBounds(4.0), **facts))
    return record_of(name, report, log)


def troubled_flight() -> FlightLog:
    """Return a flight through many modes with gaps, numbers that are none and evil words."""
    log = make_flight("figure8", seconds=4.0)
    for row in range(60):
        edit(log, row, mode="takeoff", spikes={}, membranes={})
    for row in range(300, 350):
        edit(log, row, mode="fallback", verdict=EVIL, spikes={}, membranes={})
    edit(log, 100, position=np.full(3, np.nan), quaternion=np.zeros(4))
    edit(log, 110, position=np.array([np.inf, 1e300, -1e300]), command=np.full(4, np.nan))
    edit(log, 200, missed=3)
    return log


def unpacked(page: str, name: str) -> bytes:
    """Return what is packed into a page under a name."""
    found = re.search(f'<script type="application/gzip" id="{name}">([^<]*)</script>', page)
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


def figures_of(page: str) -> dict[str, dict[str, Any]]:
    """Return a page's figures by name; anything but strict JSON fails."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return {x["name"]: x for x in json.loads(unpacked(page, "figures"), parse_constant=refuse)}


def trace_of(figure: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the last trace of that name, so that a smooth line goes before its faint one."""
    return [x for x in figure["traces"] if x.get("name", "").startswith(name)][-1]


def column(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if x is None else x for x in values])


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the words outside of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._silent = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.words += "" if self._silent else data
