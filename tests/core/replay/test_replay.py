"""A recorded flight replays to the bit with the policy that flew, and says where it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("pybullet")

from snn_controller.errors import UserError
from snn_controller.flight.flight import Flight
from snn_controller.flight_log.recorded_flight import RecordedFlight, read_flight
from snn_controller.paths import policy_path
from snn_controller.policy.runtime import Policy
from snn_controller.replay.command import main, run
from snn_controller.replay.replay import (
    find_policy,
    format_replay,
    odometry_agreement,
    replay,
    replays_exactly,
    summarise_replay,
)
from snn_controller.vehicle.airframe import Quadrotor
from support.flight_loop import Loop, poison
from support.recorded_bags import write_bag


@pytest.fixture
def flight(loop: Callable[..., Any]) -> Flight:
    flown = loop("figure8", duration=2.0)
    flown.run(3.0)
    return flown.flight


@pytest.fixture
def bag(flight: Flight, tmp_path: Path) -> Path:
    return write_bag(tmp_path / "bag", [flight])


def outcome(flight: RecordedFlight, name: str = "") -> dict[str, Any]:
    return summarise_replay(replay(flight, find_policy(flight, name)))


def test_the_policy_that_flew_gives_every_action_again_to_the_bit(bag: Path) -> None:
    summary = outcome(read_flight(bag))
    assert summary["same_artifact"] and replays_exactly(summary)
    assert summary["equal_ticks"] == summary["judged_ticks"] == summary["policy_ticks"] == 201
    assert summary["first_difference"] is None
    assert format_replay(summary).startswith("EQUAL\n")


@pytest.mark.parametrize("name", ["hover", "hover_mlp"])
def test_shipped_policies_replay_exactly(name: str, quadrotor: Quadrotor, tmp_path: Path) -> None:
    flown = Loop(Policy.load(policy_path(name)), quadrotor, "square", 1.5)
    flown.run(2.0)
    flown.drone.close()
    summary = outcome(read_flight(write_bag(tmp_path / "bag", [flown.flight])))
    assert summary["equal_ticks"] == summary["policy_ticks"] > 140


def test_resets_are_where_the_policy_took_over(loop: Callable[..., Any], tmp_path: Path) -> None:
    flown = loop("takeoff_land", duration=1.0)
    flown.run(20.0)
    summary = outcome(read_flight(write_bag(tmp_path / "bag", [flown.flight])))
    assert summary["resets"] == 1
    assert summary["policy_ticks"] == summary["equal_ticks"] < summary["ticks"] / 2


def test_a_flight_that_lost_its_odometry_replays_up_to_there(
    loop: Callable[..., Any], tmp_path: Path
) -> None:
    flown = loop("hover", duration=5.0)
    flown.run(1.0)
    flown.run(0.5, alter=poison)
    recorded = read_flight(write_bag(tmp_path / "bag", [flown.flight]))
    assert "descent" in recorded.mode
    summary = outcome(recorded)
    assert summary["equal_ticks"] == summary["policy_ticks"] > 90


def test_the_first_tick_that_differs_is_named(bag: Path) -> None:
    flight = read_flight(bag)
    action = flight.action.copy()
    action[57, 2] = np.nextafter(action[57, 2], np.float32(2.0))
    summary = outcome(replace(flight, action=action))
    assert not replays_exactly(summary)
    assert summary["equal_ticks"] == 200
    assert summary["first_difference"]["tick"] == 57
    text = format_replay(summary)
    assert text.startswith("DIFFERENT, though the policy file is the same")
    assert "difference at tick 57 (0.57 s, policy)" in text
    assert "the machine may be another" in text


def test_another_policy_is_compared_on_the_same_inputs(bag: Path) -> None:
    summary = outcome(read_flight(bag), "hover_mlp")
    assert not summary["same_artifact"]
    assert summary["equal_ticks"] < 5
    assert 0.0 < summary["differences"]["mean"] < summary["differences"]["largest"] < 2.0
    assert format_replay(summary).startswith("ANOTHER POLICY")


def test_what_follows_lost_ticks_is_not_judged(flight: Flight, tmp_path: Path) -> None:
    recorded = read_flight(write_bag(tmp_path / "bag", [flight], lost=(100,)))
    summary = outcome(recorded)
    assert (summary["judged_ticks"], summary["policy_ticks"], summary["lost_ticks"]) == (
        100,
        200,
        1,
    )
    assert replays_exactly(summary)
    assert "1 ticks are lost" in format_replay(summary)


def test_a_truncated_bag_is_replayed_up_to_the_damage(bag: Path) -> None:
    file = bag / "bag.mcap"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    summary = outcome(read_flight(file))
    assert 0 < summary["judged_ticks"] < 201 and replays_exactly(summary)
    assert "is damaged after" in format_replay(summary)


def test_odometry_that_differs_is_counted(bag: Path) -> None:
    flight = read_flight(bag)
    found, equal = odometry_agreement(flight)
    assert found == 201 and equal > 195  # made by another rounding of the velocity here
    stamp = int(flight.stamp[10])
    sample = flight.odometry[stamp]
    moved = replace(sample, state=replace(sample.state, position=sample.state.position + 1.0))
    spoilt = replace(flight, odometry={**flight.odometry, stamp: moved})
    assert odometry_agreement(spoilt) == (found, equal - 1)
    assert odometry_agreement(replace(flight, odometry={})) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"policy_sha256": "0" * 64}, "that flew is not at .* any more; give it, or another"),
        ({"control_rate": 50.0}, "is not at"),
    ],
)
def test_a_policy_that_is_gone_is_one_sentence(
    flight: Flight, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    recorded = read_flight(write_bag(tmp_path / "bag", [flight], changed=changes))
    with pytest.raises(UserError, match=sentence):
        find_policy(recorded)


def test_a_policy_of_another_kind_is_one_sentence(bag: Path) -> None:
    with pytest.raises(UserError, match="gives actions of kind 'thrust_rates'"):
        find_policy(read_flight(bag), "hover_rates")


def test_flights_without_the_policy_or_its_reset_are_one_sentence(
    flight: Flight, tmp_path: Path, policy: Policy
) -> None:
    recorded = read_flight(write_bag(tmp_path / "bag", [flight]))
    with pytest.raises(UserError, match="the policy never ran"):
        replay(replace(recorded, ran=np.zeros_like(recorded.ran)), policy)
    with pytest.raises(UserError, match="lacks the ticks in which the policy was reset"):
        replay(replace(recorded, reset=np.zeros_like(recorded.reset)), policy)


def test_the_command_writes_figures_and_a_picture(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, picture = tmp_path / "replay.json", tmp_path / "replay.png"
    assert run([str(bag), "--json", str(figures), "--plot", str(picture)]) == 0
    assert capsys.readouterr().out.startswith("EQUAL")
    assert json.loads(figures.read_text())["equal_ticks"] == 201
    assert picture.read_bytes()[:4] == b"\x89PNG" and picture.stat().st_size > 10_000


def test_the_command_says_bad_input_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["snn-replay", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
