"""`snn-report`: flights named on the command line become a page, or one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snn_controller.errors import UserError
from snn_controller.report.page.command import MOST_FLIGHTS, draw_pages, main
from snn_controller.report.summary import FlightFacts, summarise, write_report
from snn_controller.report.survival import FlightBounds
from support.page_parts import Elements, figures_of
from support.synthetic_flight import make_flight


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snn_controller.report.page.page.plotly_script", lambda: b"")
    monkeypatch.chdir(tmp_path)


def fly(folder: Path, seed: int = 0) -> str:
    log = make_flight(seconds=0.5, seed=seed)
    report = summarise(log, FlightFacts("hover", FlightBounds(0.5), policy="policy.onnx"))
    write_report(folder, report, log)
    return str(folder)


def test_one_flight_is_drawn_in_its_folder(tmp_path: Path) -> None:
    flight = fly(tmp_path / "mine")
    path = draw_pages([flight])
    assert path == tmp_path / "mine" / "flight.html"
    shown = figures_of(path.read_text())
    assert shown["membranes"]["traces"]
    assert shown["latency"]["traces"]
    assert draw_pages([f"{flight}/report.json", "--output", "other.html"]).read_text() == (
        path.read_text()
    )


def test_several_flights_are_compared_here(tmp_path: Path) -> None:
    path = draw_pages([fly(tmp_path / name, seed) for seed, name in enumerate("abc")])
    assert path == tmp_path / "compare.html"
    names = [x["name"] for x in figures_of(path.read_text())["error"]["traces"]]
    assert names == ["a", "b", "c"]


def test_flights_of_one_name_are_told_apart(tmp_path: Path) -> None:
    flights = [fly(tmp_path / place / "last") for place in ("x", "y")]
    page = draw_pages(flights).read_text()
    assert [x["name"] for x in figures_of(page)["error"]["traces"]] == ["x/last", "y/last"]
    page = draw_pages([flights[0]] * 2).read_text()
    assert [x["name"] for x in figures_of(page)["error"]["traces"]] == [
        "x/last (1)", "x/last (2)",
    ]  # fmt: skip
    assert "1 x/last (1)" in Elements(page).words


def test_too_many_flights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"at most {MOST_FLIGHTS}"):
        draw_pages([fly(tmp_path / "mine")] * (MOST_FLIGHTS + 1))


def test_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="choose a folder that is writable"):
        draw_pages([fly(tmp_path / "mine"), "--output", "file/page.html"])


def test_a_file_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    bag = tmp_path / "bag.mcap"
    bag.touch()
    with pytest.raises(UserError, match=r"bag.mcap is no flight; give the folder that a flight"):
        draw_pages([str(bag)])
    folder = Path(fly(tmp_path / "mine"))
    assert draw_pages([str(folder / "report.json")]) == folder / "flight.html"


def test_main_prints_the_page_or_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["snn-report", fly(tmp_path / "mine")])
    main()
    assert capsys.readouterr().out == f"page: {tmp_path / 'mine' / 'flight.html'}\n"
    monkeypatch.setattr(sys, "argv", ["snn-report", "missing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: missing/report.json cannot be read")
    assert error.count("\n") == 1
