"""What a bag tells of a flight is what the flight was, to the bit; what it cannot tell it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("pybullet")

from snn_controller.errors import UserError
from snn_controller.flight.flight import Flight
from snn_controller.flight_log.log import MODES, TICK_FIELDS, TICK_SIZE, columns, split_rows
from snn_controller.flight_log.log import tick_row as make_row
from snn_controller.flight_log.recorded_flight import read_flight, read_flights
from support.recorded_bags import write_bag


@pytest.fixture
def flight(loop: Callable[..., Any]) -> Flight:
    flown = loop("takeoff_land", duration=1.0)
    flown.run(20.0)
    return flown.flight


def test_a_bag_gives_back_every_tick_to_the_bit(flight: Flight, tmp_path: Path) -> None:
    recorded = read_flight(write_bag(tmp_path / "bag", [flight]))
    flown = columns(flight.log)
    assert len(recorded) == len(flight.log.ticks) == recorded.index[-1] + 1
    assert (recorded.mode == flown.mode).all()
    assert set(recorded.mode) >= {"takeoff", "policy", "land"}
    for ours, theirs in (
        (recorded.state.position, flown.position),
        (recorded.state.quaternion, flown.quaternion),
        (recorded.state.velocity, flown.velocity),
        (recorded.state.body_rates, flown.body_rates),
        (recorded.reference.position, flown.reference_position),
        (recorded.reference.velocity, flown.reference_velocity),
        (recorded.command, flown.command),
        (recorded.time, flown.time),
    ):
        assert np.array_equal(ours, theirs, equal_nan=True)
    assert (recorded.stamp == [tick.stamp for tick in flight.log.ticks]).all()
    assert recorded.stopped[-1] and not recorded.damage


def test_actions_are_told_where_the_network_ran_and_only_there(
    flight: Flight, tmp_path: Path
) -> None:
    recorded = read_flight(write_bag(tmp_path / "bag", [flight]))
    assert recorded.ran.sum() == (recorded.mode == "policy").sum() > 90
    assert recorded.reset.sum() == 1 and recorded.ran[recorded.reset].all()
    assert np.isfinite(recorded.action[recorded.ran]).all()
    assert np.isnan(recorded.action[~recorded.ran]).all()
    first, *rest = np.flatnonzero(recorded.ran)
    assert (recorded.last_action[first] == 0.0).all()
    assert (recorded.last_action[rest] == recorded.action[np.array(rest) - 1]).all()


def test_odometry_of_the_bag_gives_the_states_of_the_ticks(flight: Flight, tmp_path: Path) -> None:
    recorded = read_flight(write_bag(tmp_path / "bag", [flight]))
    assert set(recorded.stamp) == set(recorded.odometry)
    for tick, stamp in enumerate(recorded.stamp):
        state = recorded.odometry[stamp].state
        assert np.allclose(state.velocity, recorded.state.velocity[tick], atol=1e-12)
        assert np.array_equal(state.quaternion, recorded.state.quaternion[tick])


def test_report_folders_files_and_namespaces_are_understood(flight: Flight, tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", [flight], prefix="/drone1")
    places = (tmp_path, tmp_path / "bag", tmp_path / "bag" / "bag.mcap")
    assert {len(read_flight(place)) for place in places} == {len(flight.log.ticks)}


def test_flights_of_one_bag_are_told_apart(flight: Flight, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", [flight, flight])
    assert [x.number for x in read_flights(bag)] == [1, 2]
    assert read_flight(bag, 2).number == 2
    with pytest.raises(UserError, match="several flights; choose one of: 1, 2"):
        read_flight(bag)
    with pytest.raises(UserError, match="no flight 3; choose one of: 1, 2"):
        read_flight(bag, 3)


def test_a_truncated_bag_is_recovered_up_to_the_damage(flight: Flight, tmp_path: Path) -> None:
    file = write_bag(tmp_path / "bag", [flight]) / "bag.mcap"
    whole = read_flight(file)
    content = file.read_bytes()
    counts = []
    for share in (0.3, 0.6, 0.9):
        file.write_bytes(content[: int(share * len(content))])
        part = read_flight(file)
        assert len(part.damage) == 1 and "is damaged after" in part.damage[0]
        assert np.array_equal(part.action, whole.action[: len(part)], equal_nan=True)
        counts.append(len(part))
    assert 0 < counts[0] < counts[1] < counts[2] <= len(whole)


def test_lost_ticks_are_known(flight: Flight, tmp_path: Path) -> None:
    recorded = read_flight(write_bag(tmp_path / "bag", [flight], lost=(5, 6, 20)))
    assert recorded.index[recorded.lost_before].tolist() == [7, 21]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"without": ("tick",)}, "has no topic snn_controller/tick; record the flight again"),
        ({"without": ("flight_info",)}, "has no snn_controller/flight_info of its flight"),
        ({"changed": {"observation_version": 2}}, "has observation version 2, and this software"),
        ({"changed": {"tick_version": 9}}, "has tick version 9"),
        ({"changed": {"flight": "x"}}, "holds no facts of a flight"),
        ({"fields": [("position", TICK_SIZE)]}, "lacks action, body_rates"),
    ],
)
def test_an_unfit_bag_is_one_sentence_with_the_mend(
    flight: Flight, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    bag = write_bag(tmp_path / "bag", [flight], **options)
    with pytest.raises(UserError, match=sentence):
        read_flights(bag)


def test_a_row_holds_what_its_labels_say(flight: Flight) -> None:
    tick = flight.log.ticks[300]
    row = np.array(make_row(tick, flight=3, index=300, latency=0.25))
    labels, sizes = zip(*TICK_FIELDS, strict=True)
    parts = split_rows(row[None], labels, sizes)
    assert row.shape == (TICK_SIZE,)
    assert MODES[int(parts["mode"][0])] == tick.mode
    assert (parts["flight"][0], parts["index"][0], parts["latency"][0]) == (3, 300, 0.25)
    assert (parts["reference_position"][0] == tick.reference.position).all()
    assert (parts["command"][0] == tick.command).all()
