"""Figures of a flight, against values worked out by hand, and the file that holds them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snn_controller.errors import UserError
from snn_controller.flight_log.log import FlightLog, Tick, columns
from snn_controller.report.summary import (
    FlightFacts,
    format_summary,
    motion_hash,
    summarise,
    versions,
    write_report,
)
from snn_controller.report.survival import FlightBounds
from snn_controller.vehicle.state import Reference, State
from support.synthetic_flight import LAYERS, edit, make_flight

FACTS = FlightFacts(task="hover", bounds=FlightBounds(4.0), policy="policy.onnx", seed=3)


def log_of(
    errors: list[float], commands: list[list[float]] | None = None, period: float = 0.5
) -> FlightLog:
    """Return a hovering flight with stated errors along x."""
    log = FlightLog()
    for index, error in enumerate(errors):
        state = State.at_rest(np.array([error, 0.0, 1.0]))
        command = np.array(commands[index] if commands else [0.5] * 4)
        reference = Reference(np.array([0.0, 0.0, 1.0]))
        log.append(Tick(period * index, "policy", "", state, reference, command))
    return log


def summary_of(log: FlightLog, **changes: Any) -> dict[str, Any]:
    return summarise(log, FlightFacts(**{**vars(FACTS), **changes}))


def test_report_has_every_key_and_is_strict_json() -> None:
    report = summarise(make_flight(), FACTS)
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text) == report
    assert report["survived"] is True
    assert report["failure"] is None
    assert (report["task"], report["seed"], report["policy"]) == ("hover", 3, "policy.onnx")
    assert report["ticks"] == 401
    assert report["duration_s"] == pytest.approx(4.0)
    assert report["modes"] == [{"time_s": 0.0, "mode": "policy", "verdict": ""}]


def test_errors_against_hand_worked_values() -> None:
    # ticks at 0, .5, ... 4 s: the first four lie before 2 s, the last three in the last quarter
    report = summary_of(log_of([9.0, 8.0, 7.0, 6.0, 3.0, -4.0, 0.3, 0.2, 0.1]))
    expected = np.sqrt((9.0 + 16.0 + 0.09 + 0.04 + 0.01) / 5)
    assert report["position_rmse_m"] == pytest.approx(expected, abs=1e-6)
    assert report["steady_error_m"] == pytest.approx(0.2)
    assert report["max_error_m"] == pytest.approx(9.0)


def test_steady_window_is_five_seconds_at_most() -> None:
    errors = np.where(np.arange(101) * 0.5 >= 45.0, 0.1, 7.0)
    assert summary_of(log_of(list(errors)))["steady_error_m"] == pytest.approx(0.1)


def test_errors_count_only_while_the_policy_flies() -> None:
    log = log_of([9.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 9.0])
    edit(log, 0, mode="takeoff")
    edit(log, -1, mode="land")
    report = summary_of(log)
    assert report["max_error_m"] == pytest.approx(0.1)
    assert report["position_rmse_m"] == pytest.approx(0.1)


def test_flight_shorter_than_the_settling_time_has_no_rmse() -> None:
    assert summary_of(log_of([0.1, 0.1]))["position_rmse_m"] is None


@pytest.mark.parametrize(
    ("kind", "second", "expected"),
    [("motors", [0.5, 0.75, 0.5, 0.25], 0.25), ("thrust_rates", [9.81, 3.0, 0.0, -1.5], 0.5)],
)
def test_action_step_is_in_action_units(kind: str, second: list[float], expected: float) -> None:
    first = [0.5] * 4 if kind == "motors" else [0.0] * 4
    log = log_of([0.0, 0.0], [first, second])
    assert summary_of(log, action_kind=kind)["action_step"] == pytest.approx(expected)


def test_action_step_skips_ticks_that_others_flew() -> None:
    log = log_of([0.0] * 4, [[0.5] * 4, [0.5] * 4, [1.0] * 4, [0.5] * 4])
    edit(log, 2, mode="fallback")
    assert summary_of(log)["action_step"] == 0.0


def test_spikes_count_only_ticks_in_which_the_network_ran() -> None:
    log = log_of([0.0] * 3)
    edit(log, 1, spikes={"hidden": np.array([True, False])}, synaptic_ops=10)
    edit(log, 2, spikes={"hidden": np.array([True, True])}, synaptic_ops=20)
    report = summary_of(log)
    assert report["spike_rate"] == {"hidden": 0.75}
    assert report["synaptic_ops_per_tick"] == 15.0


def test_flight_without_spikes_has_null_figures() -> None:
    report = summary_of(make_flight(spiking=False), policy=None)
    assert report["spike_rate"] == {}
    assert report["synaptic_ops_per_tick"] is None
    assert "the guide flew" in format_summary(report)


def test_timing_percentiles_are_in_ms() -> None:
    log = log_of([0.0])
    for value in np.linspace(0.0, 0.1, 101):
        log.append_timing(period=None, latency=float(value))
    report = summary_of(log)
    assert report["latency_ms"] == {"p50": 50.0, "p99": 99.0, "max": 100.0}
    assert report["tick_period_ms"] == {"p50": None, "p99": None, "max": None}


def test_modes_list_changes_and_not_every_wording_of_a_verdict() -> None:
    log = log_of([0.0] * 6)
    edit(log, 2, verdict="late by 1 ms")
    edit(log, 3, verdict="late by 2 ms")
    edit(log, 5, mode="land")
    assert summary_of(log)["modes"] == [
        {"time_s": 0.0, "mode": "policy", "verdict": ""},
        {"time_s": 1.0, "mode": "policy", "verdict": "late by 1 ms"},
        {"time_s": 2.0, "mode": "policy", "verdict": ""},
        {"time_s": 2.5, "mode": "land", "verdict": ""},
    ]


def test_missed_ticks_are_summed() -> None:
    log = log_of([0.0] * 3)
    edit(log, 1, missed=2)
    edit(log, 2, missed=3)
    assert summary_of(log)["missed_ticks"] == 5


def test_motion_hash_depends_on_motion_alone() -> None:
    log = make_flight(seconds=1.0)
    same = copy.deepcopy(log)
    same.latencies = [9.0]
    edit(same, 0, verdict="slow", spikes={})
    assert motion_hash(columns(log)) == motion_hash(columns(same))
    for change in ("position", "quaternion", "command"):
        other = copy.deepcopy(log)
        source = other.ticks[7] if change == "command" else other.ticks[7].state
        edit(other, 7, **{change: np.nextafter(getattr(source, change), 9.0)})
        assert motion_hash(columns(other)) != motion_hash(columns(log))


def test_motion_hash_does_not_tell_zero_from_minus_zero() -> None:
    log, other = log_of([0.0]), log_of([-0.0])
    assert motion_hash(columns(log)) == motion_hash(columns(other))


def test_empty_log_gives_a_report_that_says_so(tmp_path: Path) -> None:
    report = summarise(FlightLog(), FACTS)
    assert report["survived"] is False
    assert "no odometry" in report["failure"]
    assert report["duration_s"] == 0.0
    assert report["max_error_m"] is None
    write_report(tmp_path, report, FlightLog())
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


numbers = st.floats(width=64)  # every float there is: NaN, infinities and the largest


@pytest.mark.filterwarnings("error")
@settings(max_examples=60, deadline=None)
@given(
    rows=arrays(np.float64, (6, 14), elements=numbers),
    timing=st.lists(numbers, max_size=4),
    modes=st.lists(st.sampled_from(["policy", "fallback", "land"]), min_size=6, max_size=6),
)
def test_any_numbers_make_strict_json(
    rows: np.ndarray, timing: list[float], modes: list[str]
) -> None:
    log = FlightLog(periods=timing, latencies=timing)
    for row, mode in zip(rows, modes, strict=True):
        state = State(row[:3], row[3:7], row[7:10], row[7:10])
        log.append(Tick(float(row[0]), mode, "", state, Reference(row[4:7]), row[10:14]))
    report = summarise(log, FACTS)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert format_summary(report)


def test_written_files_hold_report_and_ticks(tmp_path: Path) -> None:
    log = make_flight(seconds=1.0)
    report = summarise(log, FACTS)
    path = write_report(tmp_path / "new" / "folder", report, log)
    assert json.loads(path.read_text()) == report
    assert sorted(x.name for x in path.parent.iterdir()) == ["flight.npz", "report.json"]
    with np.load(path.with_name("flight.npz"), allow_pickle=False) as saved:
        assert np.array_equal(saved["position"], columns(log).position)
        assert set(saved["mode"]) == {"policy"}
        for layer, size in LAYERS.items():
            assert saved[f"spikes_{layer}"].shape == (101, size)


def test_rewriting_replaces_the_report(tmp_path: Path) -> None:
    write_report(tmp_path, {"old": True}, FlightLog())
    path = write_report(tmp_path, {"new": True}, FlightLog())
    assert json.loads(path.read_text()) == {"new": True}


def test_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="choose a folder that is writable") as caught:
        write_report(tmp_path / "file" / "report", {}, FlightLog())
    assert "\n" not in str(caught.value)


def test_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("snn_controller.system.os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_report(tmp_path, {}, FlightLog())
    assert list(tmp_path.iterdir()) == []


def test_summary_fits_a_screen_and_says_the_result() -> None:
    report = summarise(make_flight(), FACTS)
    text = format_summary(report)
    assert text.startswith("SURVIVED: hover")
    assert len(text.splitlines()) <= 20
    assert max(map(len, text.splitlines())) <= 100
    assert f"{report['position_rmse_m']:.3f} m" in text


def test_summary_of_a_failure_says_why() -> None:
    log = make_flight()
    edit(log, 123, mode="fallback", verdict="odometry is stale")
    text = format_summary(summarise(log, FACTS))
    assert text.startswith("DID NOT SURVIVE")
    assert "odometry is stale" in text


def test_versions_name_what_is_installed() -> None:
    found = versions()
    assert found["numpy"] == np.__version__
    assert {"python", "snn_controller"} <= set(found)
