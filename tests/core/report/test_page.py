"""The flight page: every panel holds what the log holds, and nothing that could do harm."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_controller.flight_log.log import FlightColumns, FlightLog, columns
from snn_controller.flight_log.store import FlightRecord
from snn_controller.policy.energy import tick_energies
from snn_controller.report.page import page as page_module
from snn_controller.report.page.figures import POINTS, envelope
from snn_controller.report.page.page import (
    MOST_FLIGHTS,
    draw_pages,
    main,
    plotly_script,
    write_page,
)
from snn_controller.report.series import position_error
from snn_controller.report.summary import FlightFacts, summarise, write_report
from snn_controller.report.survival import FlightBounds
from support.page_parts import (
    EVIL,
    NETWORK,
    Elements,
    column,
    figures_of,
    record,
    trace_of,
    troubled_flight,
    unpacked,
)
from support.synthetic_flight import LAYERS, make_flight

SCRIPT = b"/* stands in for plotly's */"


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "plotly_script", lambda: SCRIPT)


def page_of(folder: Path, *records: FlightRecord) -> str:
    write_page(records, folder / "flight.html")
    assert [x.name for x in folder.iterdir()] == ["flight.html"]
    return (folder / "flight.html").read_text()


@pytest.fixture
def flown() -> FlightRecord:
    return record(make_flight("figure8"))


@pytest.fixture
def figures(flown: FlightRecord, tmp_path: Path) -> dict[str, dict[str, Any]]:
    return figures_of(page_of(tmp_path, flown))


def test_the_page_shows_every_panel(tmp_path: Path, flown: FlightRecord) -> None:
    page = page_of(tmp_path, flown)
    assert list(figures_of(page)) == [
        "path", "membranes", "latency", "timeline", "error", "commands", "spikes", "energy",
        "attitude",
    ]  # fmt: skip
    places = [x["id"] for _, x in Elements(page).found if x.get("class") == "plot"]
    assert places == list(figures_of(page))
    assert unpacked(page, "plotly") == SCRIPT


def test_path_and_reference_are_the_logs(flown: FlightRecord, figures: dict[str, Any]) -> None:
    for name, points in (
        ("policy", flown.flight.position),
        ("reference", flown.flight.reference_position),
    ):
        trace = trace_of(figures["path"], name)
        shown = np.array([trace[axis] for axis in "xyz"]).T
        assert np.allclose(shown, points, atol=1e-5, rtol=0.0)


def test_errors_and_commands_are_the_logs(flown: FlightRecord, figures: dict[str, Any]) -> None:
    error = position_error(flown.flight)
    for axis, values in zip("xyz", error.T, strict=True):
        trace = trace_of(figures["error"], axis)
        assert np.allclose(trace["x"], flown.flight.time, atol=1e-4)
        assert np.allclose(column(trace["y"]), 100.0 * values, atol=1e-5)  # cm
    distance = trace_of(figures["error"], "distance")["y"]
    assert np.allclose(distance, 100.0 * np.linalg.norm(error, axis=1), atol=1e-5)
    for number, name in enumerate(("M1", "M2", "M3", "M4")):
        every_tick = next(x for x in figures["commands"]["traces"] if x["name"] == name)
        assert np.allclose(every_tick["y"], flown.flight.command[:, number], atol=1e-5)


def test_rasters_hold_every_spike_of_every_neuron(
    flown: FlightRecord, figures: dict[str, Any]
) -> None:
    assert len(figures["spikes"]["traces"]) == len(LAYERS)
    for trace, (layer, fired) in zip(
        figures["spikes"]["traces"], flown.flight.spikes.items(), strict=True
    ):
        shape = [int(x) for x in trace["z"]["shape"].split(",")]
        cells = np.frombuffer(base64.b64decode(trace["z"]["bdata"]), np.uint8).reshape(shape)
        neurons = [int(name[1:]) for name in trace["y"]]
        assert np.array_equal(cells == 255, fired[:, neurons].T), layer
        assert ((cells == 0) | (cells == 255)).all()
        assert sorted(neurons) == np.flatnonzero(fired.any(axis=0)).tolist()
        assert len(trace["x"]) == len(flown.flight.time) + 1


def test_membranes_are_the_logs_with_their_spikes(
    flown: FlightRecord, figures: dict[str, Any]
) -> None:
    lines = [x for x in figures["membranes"]["traces"] if x["mode"] == "lines"]
    assert len(lines) == 4
    for trace in lines:
        layer, _, neuron = trace["name"].partition(" #")
        values = flown.flight.membranes[layer][:, int(neuron)]
        assert np.allclose(trace["y"], values, atol=1e-4)
        dots = trace_of(figures["membranes"], trace["name"])
        fired = flown.flight.spikes[layer][:, int(neuron)]
        assert np.allclose(dots["x"], flown.flight.time[fired], atol=1e-3)
    low, high = figures["membranes"]["home"]
    assert high - low == pytest.approx(1.0)


def test_energy_adds_up(flown: FlightRecord, figures: dict[str, Any]) -> None:
    ticks = tick_energies(flown.flight.synaptic_ops.astype(float), NETWORK)  # type: ignore[arg-type]
    for trace, (target, values) in zip(figures["energy"]["traces"], ticks.items(), strict=True):
        total = float(np.sum(values)) * 1e-9
        assert flown.report["energy_j"][target] == pytest.approx(total, rel=1e-5)
        number, unit = trace["name"].split(": ")[1].split()[:2]
        scale = {"mJ": 1e-3, "\u00b5J": 1e-6, "nJ": 1e-9}[unit]
        assert float(number) * scale == pytest.approx(total, rel=5e-3)
        assert np.mean(trace["y"]) == pytest.approx(1e-3 * np.mean(values), rel=0.02)


def test_every_latency_is_in_the_histogram(flown: FlightRecord, figures: dict[str, Any]) -> None:
    counts = [x or 0 for x in figures["latency"]["traces"][0]["y"]]
    assert sum(counts) == flown.latencies.size
    marks = [10.0 ** x["x0"] for x in figures["latency"]["layout"]["shapes"]]
    assert marks == pytest.approx([flown.report["latency_ms"][x] for x in ("p50", "p99")], rel=1e-3)


def test_timeline_shows_modes_verdicts_and_missed_periods(tmp_path: Path) -> None:
    flown = record(troubled_flight())
    timeline = figures_of(page_of(tmp_path, flown))["timeline"]
    spans = sorted(
        (base, base + length, trace["name"])
        for trace in timeline["traces"]
        if trace["type"] == "bar"
        for base, length in zip(trace["base"], trace["x"], strict=True)
    )
    assert spans == [
        (0.0, pytest.approx(0.6), "takeoff"),
        (0.6, pytest.approx(3.0), "policy"),
        (3.0, pytest.approx(3.5), "fallback"),
        (3.5, pytest.approx(4.0), "policy"),
    ]
    verdict = trace_of(timeline, "verdict")
    assert (verdict["x"], verdict["y"]) == ([3.0], ["fallback"])
    missed = trace_of(timeline, "missed")
    assert (missed["x"], missed["customdata"]) == ([2.0], [3])


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    shown = figures_of(page_of(tmp_path, record(troubled_flight())))
    path = trace_of(shown["path"], "policy")
    assert [path[axis][100] for axis in "xyz"] == [None] * 3
    assert [path[axis][110] for axis in "xyz"] == [None] * 3
    assert next(x for x in shown["commands"]["traces"])["y"][110] is None
    assert trace_of(shown["error"], "distance")["y"][100] is None
    assert trace_of(shown["attitude"], "roll")["y"][100] is None


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    page = page_of(tmp_path, record(make_flight(seconds=0.5)))
    for tag, attributes in Elements(page).found:
        assert not {"src", "href", "action", "data", "srcset"} & set(attributes), tag
    assert not re.search(r"https?://|@import|url\(", page)
    policy = next(x for tag, x in Elements(page).found if "http-equiv" in x)
    assert (policy["content"] or "").startswith("default-src 'none'")


@pytest.mark.parametrize("several", [False, True])
def test_words_of_others_stay_words(tmp_path: Path, several: bool) -> None:
    log = troubled_flight()
    for row, tick in enumerate(log.ticks):
        named = {k + EVIL: fired for k, fired in tick.spikes.items()}
        log.ticks[row] = replace(tick, spikes=named)
    evil = record(log, name=EVIL, policy=EVIL, task=EVIL, link=EVIL)
    page = page_of(tmp_path, *([evil, evil] if several else [evil]))
    elements = Elements(page)
    assert {tag for tag, _ in elements.found} <= {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "div", "b",
        "span", "main", "section", "table", "tr", "th", "td", "details", "summary", "noscript",
        "script", "ol", "li", "i",
    }  # fmt: skip
    assert [x.get("id") for tag, x in elements.found if tag == "script"] == [
        "plotly", "figures", None,
    ]  # fmt: skip
    assert EVIL in elements.words
    drawn = unpacked(page, "figures").decode()
    assert "<img" not in drawn
    assert '"@ink' not in drawn.replace('"@ink"', "")


@pytest.mark.parametrize("ticks", [0, 1, 2])
@pytest.mark.parametrize("spiking", [True, False])
@pytest.mark.parametrize("several", [False, True])
def test_shortest_logs(tmp_path: Path, ticks: int, spiking: bool, several: bool) -> None:
    log = make_flight(seconds=0.1, spiking=spiking)
    short = record(FlightLog(log.ticks[:ticks], [], log.latencies[:ticks]))
    other = [record(log, name="other")] if several else []
    assert figures_of(page_of(tmp_path, short, *other))["path"]["traces"]


def test_guide_flight_in_thrust_and_rates_that_knows_no_network(tmp_path: Path) -> None:
    log = make_flight(seconds=0.5, spiking=False)
    flown = record(log, policy=None, network=None, action_kind="thrust_rates")
    shown = figures_of(page_of(tmp_path, flown))
    assert trace_of(shown["path"], "guide")
    assert [x["name"] for x in shown["commands"]["traces"]][::2] == [
        "thrust", "roll rate", "pitch rate", "yaw rate",
    ]  # fmt: skip
    for name in ("spikes", "membranes", "energy"):
        assert not shown[name]["traces"]
        assert shown[name]["layout"]["annotations"][0]["text"]


def test_the_same_flight_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_page([record(make_flight(seconds=0.5))], tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def stretched(log: FlightLog, times: int) -> FlightColumns:
    """Return a flight many times over, one after the other."""
    flight = columns(log)
    length = flight.time[-1] + 0.01
    tiled: dict[str, Any] = {
        name: {k: np.tile(v, (times, 1)) for k, v in values.items()}
        if isinstance(values, dict)
        else np.concatenate([values] * times)
        for name, values in vars(flight).items()
    }
    tiled["time"] = np.concatenate([flight.time + length * x for x in range(times)])
    return FlightColumns(**tiled)


def test_ten_minutes_fit_a_few_megabytes(tmp_path: Path) -> None:
    log = make_flight("figure8", seconds=12.0)
    short = record(log)
    flown = FlightRecord("long", short.report, stretched(log, 50), np.tile(short.latencies, 50))
    assert flown.flight.time[-1] > 599.0
    page = page_of(tmp_path, flown)
    assert len(page) < 6e6  # plotly's script takes 2 more
    shown = figures_of(page)
    lengths = [len(x["y"]) for name in ("error", "commands") for x in shown[name]["traces"]]
    assert max(lengths) <= POINTS


@given(
    st.lists(st.floats(-1e3, 1e3) | st.just(float("nan")), min_size=1, max_size=300),
    st.integers(4, 100),
)
def test_envelope_keeps_the_extremes_in_order(numbers: list[float], points: int) -> None:
    values = np.array(numbers)
    time = np.arange(values.size) * 0.01
    x, y = envelope(time, values, points)
    assert len(x) == len(y) <= max(points, 2)
    assert (np.diff(x) > 0.0).all()
    if np.isfinite(values).any():
        assert np.nanmin(y) == np.nanmin(values)
        assert np.nanmax(y) == np.nanmax(values)
    if values.size <= points:
        assert np.array_equal(y, values, equal_nan=True)


def test_missing_plotly_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page_module, "plotly_script", plotly_script)
    monkeypatch.setattr(page_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install plotly"):
        write_page([record(make_flight(seconds=0.1))], tmp_path / "flight.html")
    assert not list(tmp_path.iterdir())


def test_plotly_is_read_but_not_imported() -> None:
    pytest.importorskip("plotly", reason="plotly is not installed")
    assert b"plotly.js" in plotly_script()[:200]
    code = (
        "import sys; from snn_controller.report.page.page import plotly_script; plotly_script();"
        "assert not {'plotly', 'matplotlib'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


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
