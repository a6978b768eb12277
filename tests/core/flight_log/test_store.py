"""A flight's folder is read back as it was flown; what is damaged is one sentence with the mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_controller.flight_log.log import FlightLog
from snn_controller.flight_log.store import FlightRecord, read_record, record_of
from snn_controller.report.summary import FlightFacts, summarise, write_report
from snn_controller.report.survival import FlightBounds
from support.synthetic_flight import make_flight


def fly(folder: Path, *, spiking: bool = True) -> FlightRecord:
    log = make_flight(seconds=0.5, spiking=spiking)
    report = summarise(log, FlightFacts("hover", FlightBounds(0.5), policy="policy.onnx"))
    write_report(folder, report, log)
    return record_of(folder.name, report, log)


def edit_arrays(folder: Path, **changes: Any) -> None:
    """Write flight.npz again with other arrays; None leaves one out."""
    with np.load(folder / "flight.npz") as file:
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(folder / "flight.npz", **{k: v for k, v in arrays.items() if v is not None})


def sentence_about(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_record(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("spiking", [True, False])
def test_a_flight_is_read_back_as_it_was(tmp_path: Path, spiking: bool) -> None:
    flown = fly(tmp_path / "mine", spiking=spiking)
    found = read_record(tmp_path / "mine")
    assert found.name == "mine"
    assert found.report == flown.report
    assert np.array_equal(found.latencies, flown.latencies)
    for name, values in vars(flown.flight).items():
        again = getattr(found.flight, name)
        if isinstance(values, dict):
            assert list(again) == list(values)
            assert all(np.array_equal(again[k], values[k], equal_nan=True) for k in values)
        else:
            assert again.dtype == values.dtype
            assert np.array_equal(again, values)


def test_a_flight_of_before_latencies_were_kept_is_read(tmp_path: Path) -> None:
    fly(tmp_path)
    edit_arrays(tmp_path, latencies=None, periods=None, membranes_hidden1=None)
    found = read_record(tmp_path)
    assert not found.latencies.size
    assert list(found.flight.membranes) == ["hidden2"]


@pytest.mark.parametrize("name", ["report.json", "flight.npz"])
def test_a_missing_file_is_named_with_what_belongs_there(tmp_path: Path, name: str) -> None:
    fly(tmp_path)
    (tmp_path / name).unlink()
    sentence = sentence_about(tmp_path)
    assert name in sentence
    assert "give the folder that a flight printed" in sentence


@pytest.mark.parametrize("name", ["report.json", "flight.npz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_damaged(tmp_path: Path, name: str, share: float) -> None:
    fly(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    assert f"{name} is damaged" in sentence_about(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("survived", "yes"), ("failure", 3), ("task", None), ("modes", [1]), ("modes", {}),
        ("latency_ms", [1, 2]), ("latency_ms", {"p50": "fast"}), ("spike_rate", {"a": []}),
        ("position_rmse_m", "small"), ("network", {"neurons": "many"}), ("energy_j", 3),
        ("energy_nj_per_tick", {"loihi": True}), ("ticks", False), ("versions", None),
        ("ticks", float("nan")), ("ticks", 10**400), ("latency_ms", {"p50": float("inf")}),
    ],
)  # fmt: skip
def test_a_report_with_a_wrong_value_is_damaged(tmp_path: Path, key: str, value: Any) -> None:
    fly(tmp_path)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert repr(key) in sentence_about(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", '"words"', "[" * 100_000, "\udcff"])
def test_json_that_is_no_report_is_damaged(tmp_path: Path, text: str) -> None:
    fly(tmp_path)
    (tmp_path / "report.json").write_bytes(text.encode(errors="surrogateescape"))
    assert "report.json is damaged" in sentence_about(tmp_path)


def test_another_version_is_told(tmp_path: Path) -> None:
    fly(tmp_path)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"report_version": 2}))
    assert "report_version 2 where this installation reads 1" in sentence_about(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"time": None},
        {"time": np.zeros((51, 2))},
        {"time": np.linspace(1.0, 0.0, 51)},
        {"position": np.zeros((50, 3))},
        {"mode": np.zeros(51)},
        {"command": np.zeros((51, 4), dtype=int)},
        {"spikes_hidden1": np.zeros((3, 64), dtype=bool)},
        {"membranes_hidden1": np.zeros(51, dtype=bool)},
        {"latencies": np.array([["a"]])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_arrays_that_do_not_belong_together_are_damaged(tmp_path: Path, changes: Any) -> None:
    fly(tmp_path)
    edit_arrays(tmp_path, **changes)
    assert "flight.npz is damaged" in sentence_about(tmp_path)


def test_pickles_are_refused(tmp_path: Path) -> None:
    fly(tmp_path)
    edit_arrays(tmp_path, mode=np.array([{"a": 1}] * 51, dtype=object))
    assert "flight.npz is damaged" in sentence_about(tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fly(tmp_path)
    monkeypatch.setattr("snn_controller.flight_log.store.LARGEST_TICKS", 10_000_000)
    edit_arrays(tmp_path, bomb=np.zeros(1))
    with np.load(tmp_path / "flight.npz") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(tmp_path / "flight.npz", **arrays, big=np.zeros(2_000_000))
    assert "GiB unpacked" in sentence_about(tmp_path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_damage_is_noticed_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "flight.npz"
    if not (tmp_path / "pristine").exists():
        fly(tmp_path)
        (tmp_path / "pristine").write_bytes(path.read_bytes())
    content = bytearray((tmp_path / "pristine").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = read_record(tmp_path)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert found.flight.position.shape == (found.flight.time.size, 3)


def test_an_empty_log_leaves_no_ticks_to_read(tmp_path: Path) -> None:
    report = summarise(FlightLog(), FlightFacts("hover", FlightBounds(1.0)))
    write_report(tmp_path, report, FlightLog())
    assert "flight.npz cannot be read" in sentence_about(tmp_path)
