"""The page of several flights: laid over each other, told apart, figures side by side."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from snn_controller.flight_log.store import FlightRecord
from snn_controller.report.page import page as page_module
from snn_controller.report.page.compare import look
from snn_controller.report.page.page import write_page
from snn_controller.report.series import position_error
from support.page_parts import Elements, column, figures_of, record, troubled_flight
from support.synthetic_flight import make_flight


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "plotly_script", lambda: b"")


def page_of(folder: Path, *records: FlightRecord) -> str:
    write_page(records, folder / "flight.html")
    return (folder / "flight.html").read_text()


def test_flights_are_compared_from_their_takeovers(tmp_path: Path) -> None:
    early, late = record(make_flight(), name="early"), record(troubled_flight())
    page = page_of(tmp_path, early, late)
    shown = figures_of(page)
    assert list(shown) == [
        "path", "latency", "energy", "timeline", "error", "commands", "spikes",
    ]  # fmt: skip
    for name in ("error", "commands", "spikes", "energy"):
        assert [x["name"] for x in shown[name]["traces"]] == ["early", "mine"]
    first, second = shown["error"]["traces"]
    assert (first["x"][0], second["x"][0]) == (0.0, -0.6)
    error = np.linalg.norm(position_error(early.flight), axis=1)
    assert np.allclose(column(first["y"]), error * (100.0 if error.max() < 1.0 else 1.0), rtol=1e-3)
    words = Elements(page).words
    assert "2 flights: figure8" in words
    assert "1 of 2 survived" in words


def test_errors_of_several_tasks_are_not_compared(tmp_path: Path) -> None:
    flown = [record(make_flight(task, 3.0), name=task, task=task) for task in ("hover", "step")]
    page = page_of(tmp_path, *flown)
    row = page[page.index("RMS error") :].partition("</tr>")[0]
    assert row.count(" m</td>") == 2 and "best" not in row
    spent = page[page.index("energy of the flight, Loihi") :].partition("</tr>")[0]
    assert len(re.findall(r"<td>[\d.]+ (?:nJ|\u00b5J|mJ)</td>", spent)) == 2


def test_the_best_figure_of_several_is_marked(tmp_path: Path) -> None:
    records = [record(make_flight(seconds=3.0, seed=seed), name=str(seed)) for seed in (1, 2)]
    rmse = [x.report["position_rmse_m"] for x in records]
    page = page_of(tmp_path, *records)
    row = page[page.index("RMS error") :].partition("</tr>")[0]
    cells = re.findall(r"<td( class=best)?>([\d.]+) m</td>", row)
    assert [float(text) for _, text in cells] == pytest.approx(rmse, abs=1e-4)
    assert [bool(best) for best, _ in cells] == [x == min(rmse) for x in rmse]


def test_paths_and_latencies_are_those_of_each_flight(tmp_path: Path) -> None:
    records = [record(make_flight("figure8", 1.0, seed=seed), name=str(seed)) for seed in (1, 2)]
    shown = figures_of(page_of(tmp_path, *records))
    for flown in records:
        trace = next(x for x in shown["path"]["traces"] if x["name"] == flown.name)
        points = np.array([trace[axis] for axis in "xyz"]).T
        assert np.allclose(points, flown.flight.position, atol=1e-5, rtol=0.0)
    for trace in shown["latency"]["traces"]:
        assert np.nansum(column(trace["y"])) == pytest.approx(100.0, abs=1e-2)
    references = [x for x in shown["path"]["traces"] if x["name"] == "reference"]
    assert len(references) == 1  # both follow the same one


def test_32_flights_look_different() -> None:
    assert len({look(number) for number in range(32)}) == 32
