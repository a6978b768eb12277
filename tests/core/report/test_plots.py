"""The flight picture: it appears, whole, for every kind of flight, and its helpers are right."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_controller.flight_log.log import FlightLog, columns
from snn_controller.report.plots.flight import draw_flight
from snn_controller.report.plots.style import write_picture
from snn_controller.report.series import (
    TRACE_TIME,
    density_image,
    mode_spans,
    moving_mean,
    trace_window,
)
from snn_controller.report.summary import FlightFacts, summarise
from snn_controller.report.survival import FlightBounds
from support.synthetic_flight import LAYERS, edit, make_flight

if TYPE_CHECKING:
    from matplotlib.figure import Figure


pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("error")
SIZE = (2.0, 1.0)


def draw(log: FlightLog, path: Path, *, policy: str | None = "policy.onnx", **facts: str) -> None:
    bounds = FlightBounds(4.0)
    report = summarise(log, FlightFacts("hover", bounds, policy=policy, **facts))  # type: ignore[arg-type]
    draw_flight(log, report, path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    size = struct.unpack(">II", content[16:24])
    assert size == (1600, 1000)
    assert [x.name for x in path.parent.iterdir()] == [path.name]


def test_spiking_flight_with_thresholds(tmp_path: Path) -> None:
    log = make_flight("figure8")
    report = summarise(log, FlightFacts("figure8", FlightBounds(4.0)))
    draw_flight(log, report, tmp_path / "plain.png")
    thresholds = {layer: np.ones(size) for layer, size in LAYERS.items()}
    draw_flight(log, report, tmp_path / "more.png", thresholds=thresholds)
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "more.png").read_bytes()


@pytest.mark.slow
def test_the_same_flight_gives_the_same_file(tmp_path: Path) -> None:
    log = make_flight(seconds=1.0)
    report = summarise(log, FlightFacts("hover", FlightBounds(1.0)))
    for name in ("first.png", "second.png"):
        draw_flight(log, report, tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_guide_flight_without_spikes(tmp_path: Path) -> None:
    draw(make_flight(spiking=False), tmp_path / "flight.png", policy=None)


@pytest.mark.parametrize("ticks", [0, 1, 2])
def test_shortest_logs(ticks: int, tmp_path: Path) -> None:
    log = make_flight(seconds=0.1)
    draw(FlightLog(log.ticks[:ticks], [], log.latencies[:ticks]), tmp_path / "flight.png")


def test_crash_with_all_modes_and_numbers_that_are_none(tmp_path: Path) -> None:
    log = make_flight(seconds=3.0)
    modes = ("checks", "takeoff", "policy", "fallback", "descent", "killed")
    for row in range(len(log.ticks)):
        edit(log, row, mode=modes[row // 51])
    edit(log, 120, position=np.full(3, np.nan), quaternion=np.zeros(4))
    edit(log, 130, position=np.array([np.inf, 1e300, -1e300]), command=np.full(4, np.nan))
    for row in range(280, 301):
        edit(log, row, position=np.full(3, np.nan), spikes={}, membranes={})
    draw(log, tmp_path / "flight.png")


def test_flight_that_is_nothing_but_nan(tmp_path: Path) -> None:
    log = make_flight(seconds=0.2, spiking=False)
    for row in range(len(log.ticks)):
        edit(log, row, position=np.full(3, np.nan), quaternion=np.full(4, np.nan))
    draw(log, tmp_path / "flight.png")


def test_silent_network_and_one_without_membranes(tmp_path: Path) -> None:
    log = make_flight(seconds=0.5)
    for row in range(len(log.ticks)):
        edit(log, row, spikes={"hidden1": np.zeros(5, bool)}, membranes={})
    draw(log, tmp_path / "flight.png")


@pytest.mark.slow
def test_membranes_of_fewer_neurons_than_fire(tmp_path: Path) -> None:
    log = make_flight(seconds=0.5)
    for row, tick in enumerate(log.ticks):
        edit(log, row, membranes={k: v[:3] for k, v in tick.membranes.items()})
    draw(log, tmp_path / "flight.png")


def test_thrust_and_rate_commands(tmp_path: Path) -> None:
    draw(make_flight(seconds=0.5), tmp_path / "flight.png", action_kind="thrust_rates")


def test_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = make_flight(seconds=0.1)
    report = summarise(log, FlightFacts("hover", FlightBounds(0.1)))
    with pytest.raises(UserError, match="choose a folder that is writable"):
        draw_flight(log, report, tmp_path / "file" / "flight.png")


@settings(max_examples=50, deadline=None)
@given(ticks=st.integers(1, 2000), neurons=st.integers(1, 400), seed=st.integers(0, 2**32 - 1))
def test_density_keeps_every_spike(ticks: int, neurons: int, seed: int) -> None:
    fired = np.random.default_rng(seed).random((ticks, neurons)) < 0.1
    density, edges = density_image(fired, np.linspace(0.0, 20.0, ticks))
    per_column, per_row = -(-ticks // 850), -(-neurons // 150)
    width = np.minimum(per_column, ticks - per_column * np.arange(density.shape[1]))
    height = np.minimum(per_row, neurons - per_row * np.arange(density.shape[0]))
    assert np.isclose(height @ density @ width, np.count_nonzero(fired))
    assert ((density >= 0.0) & (density <= 1.0)).all()
    assert len(edges) == density.shape[1] + 1
    assert (np.diff(edges) > 0.0).all()


def test_mode_spans_cover_the_flight_without_gaps() -> None:
    log = make_flight(seconds=1.0)
    for row in range(30, 60):
        edit(log, row, mode="fallback")
    spans = list(mode_spans(columns(log)))
    assert [mode for mode, _, _ in spans] == ["policy", "fallback", "policy"]
    assert np.allclose([x[1:] for x in spans], [(0.0, 0.3), (0.3, 0.6), (0.6, 1.0)])
    assert list(mode_spans(columns(FlightLog()))) == []


def test_trace_window_is_the_middle_second_of_the_network() -> None:
    flight = columns(make_flight(seconds=5.0))
    shown = flight.time[trace_window(flight)]
    assert np.isclose(np.ptp(shown), TRACE_TIME)
    assert np.isclose(shown.mean(), 2.5)
    assert not trace_window(columns(make_flight(seconds=1.0, spiking=False))).size


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.integers(1, 60))
def test_moving_mean_stays_within_its_values(numbers: list[float], window: int) -> None:
    values = np.array(numbers)
    window = min(window, len(values))
    mean = moving_mean(values, window)
    assert mean.shape == values.shape
    assert (mean >= values.min() - 1e-9).all()
    assert (mean <= values.max() + 1e-9).all()
    if window == 1:
        assert np.array_equal(mean, values)
    if window == 3:
        assert np.allclose(mean[1:-1], (values[:-2] + values[1:-1] + values[2:]) / 3)


pytest.importorskip("matplotlib")


def fill(figure: Figure) -> None:
    figure.add_subplot().plot([0.0, 1.0], [1.0, 0.0])


def test_the_same_drawing_gives_the_same_bytes_and_the_size(tmp_path: Path) -> None:
    from matplotlib import image, rcParams

    before = dict(rcParams)
    for name in ("one.png", "two.png"):
        write_picture(tmp_path / name, fill, size=SIZE, resolution=100)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert image.imread(tmp_path / "one.png").shape[:2] == (100, 200)
    assert dict(rcParams) == before


def test_missing_matplotlib_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="pip install matplotlib"):
        write_picture(tmp_path / "flight.png", fill, size=SIZE)


def test_another_kind_of_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.png"):
        write_picture(tmp_path / "flight.jpg", fill, size=SIZE)
    assert not list(tmp_path.iterdir())
