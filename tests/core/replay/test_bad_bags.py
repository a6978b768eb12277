"""Bags that cannot be used, or in part: what the commands say of them, and what they save.

Everything here goes through the commands themselves: one sentence, no traceback, an exit code.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rosbags")
pytest.importorskip("pybullet")

from snn_controller.errors import UserError
from snn_controller.flight_log.log import TICK_SIZE
from snn_controller.flight_log.recorded_flight import read_flight, read_flights
from snn_controller.flight_log.writer import Bag
from snn_controller.replay import command as replay_command
from snn_controller.replay.replay import find_policy, format_replay, replay, summarise_replay
from snn_training.common.command import run_command
from support.recorded_bags import text, tick_message, write_bag

Say = Callable[[Path], tuple[int, str, str]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded hover of 2 s."""
    from snn_controller.paths import policy_path
    from snn_controller.policy.runtime import Policy
    from snn_controller.vehicle.airframe import load_quadrotor
    from support.flight_loop import Loop

    flown = Loop(Policy.load(policy_path("")), load_quadrotor("crazyflie21"), "hover", 2.0)
    flown.run(5.0)
    flown.drone.close()
    return write_bag(tmp_path_factory.mktemp("source") / "bag", [flown.flight])


@pytest.fixture(params=["snn-replay", "dataset --bag"])
def say(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Say:
    """Run a command on a bag; return exit code, output and errors."""

    def run(bag: Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["command", str(bag)])
        with pytest.raises(SystemExit) as ended:
            if request.param == "snn-replay":
                replay_command.main()
            dataset = pytest.importorskip("snn_training.rollouts.dataset")
            words = ["--name", "drone/flights/mine-v0", "--bag", str(bag)]
            words += ["--folder", str(tmp_path / "datasets")]
            monkeypatch.setattr(sys, "argv", ["dataset.py", *words])
            run_command(dataset.main, dataset.Args)
            raise SystemExit(0)
        told = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, told.out, told.err

    return run


def facts(source: Path, folder: Path, **changed: Any) -> Path:
    """Copy a bag and change facts of its flight."""
    info, bag = read_flight(source).info, Bag(folder)
    message = text(json.dumps({**info, **changed}))
    bag.write("/snn_controller/flight_info", "std_msgs/msg/String", 0, message)
    row = [1.0] + [0.0] * (TICK_SIZE - 1)
    bag.write("/snn_controller/tick", "std_msgs/msg/Float64MultiArray", 1, tick_message(row))
    bag.close()
    return folder


def _cut(source: Path, place: Path, size: int) -> Path:
    place.write_bytes((source / "bag.mcap").read_bytes()[:size])
    return place


BAD: list[tuple[str, Callable[[Path, Path], Path], str]] = [
    ("nothing", lambda s, p: p / "nothing", "does not exist; give the folder"),
    ("empty folder", lambda s, p: p, "holds no .mcap file; give the folder"),
    ("empty file", lambda s, p: _cut(s, p / "x.mcap", 0), "is empty; give a bag"),
    ("first bytes", lambda s, p: _cut(s, p / "x.mcap", 8), "before it is damaged"),
    ("no ticks yet", lambda s, p: _cut(s, p / "x.mcap", 2000), "before it is damaged"),
    ("no bag", lambda s, p: Path(__file__), "is no MCAP file; give a bag"),
    ("no record:=true", lambda s, p: _report(p), "was not recorded; fly it again with record:="),
    ("SQLite", lambda s, p: _sqlite(p), "convert it with ros2 bag convert"),
    (
        "other observation",
        lambda s, p: facts(s, p / "bag", observation_version=2, versions={"snn_controller": "9"}),
        "has observation version 2, and this software reads 1; use snn_controller 9 that recorded",
    ),
    ("other ticks", lambda s, p: facts(s, p / "bag", tick_version=9), "has tick version 9"),
    ("no modes", lambda s, p: facts(s, p / "bag", modes=7), "tells 7 as the flight's modes"),
    ("odd rate", lambda s, p: facts(s, p / "bag", control_rate="x"), "flight's control_rate"),
    ("odd kind", lambda s, p: facts(s, p / "bag", action_kind="x"), "flight's action_kind"),
    ("odd seed", lambda s, p: facts(s, p / "bag", seed="x"), "as the flight's seed"),
    ("odd versions", lambda s, p: facts(s, p / "bag", versions=3), "as the flight's versions"),
]  # fmt: skip


def _report(place: Path) -> Path:
    (place / "report.json").write_text("{}")
    return place


def _sqlite(place: Path) -> Path:
    (place / "x.db3").touch()
    return place


@pytest.mark.parametrize(("make", "sentence"), [x[1:] for x in BAD], ids=[x[0] for x in BAD])
def test_a_bag_that_cannot_be_used_is_one_sentence(
    say: Say, source: Path, tmp_path: Path, make: Any, sentence: str
) -> None:
    code, _, error = say(make(source, tmp_path))
    assert code == 2
    assert error.startswith("error: ") and sentence in error and error.count("\n") == 1


@pytest.mark.parametrize("topic", ["tick", "flight_info"])
def test_a_bag_that_lacks_a_topic_is_one_sentence(
    say: Say, loop: Any, tmp_path: Path, topic: str
) -> None:
    flown = loop(duration=0.1)
    flown.run(1.0)
    code, _, error = say(write_bag(tmp_path / "bag", [flown.flight], without=(topic,)))
    assert code == 2
    assert f"snn_controller/{topic}" in error and error.endswith("with record:=true\n")


def test_a_truncated_bag_is_used_and_its_damage_told(
    say: Say, source: Path, tmp_path: Path
) -> None:
    size = (source / "bag.mcap").stat().st_size
    code, output, error = say(_cut(source, tmp_path / "x.mcap", size // 2))
    assert (code, error) == (0, "")
    assert "x.mcap is damaged after" in output


def garble(source: Path, place: Path, begin: float, content: bytes) -> Path:
    """Copy a bag with other bytes from a share of its size on."""
    shutil.copyfile(source / "bag.mcap", place)
    with place.open("r+b") as file:
        file.seek(int(begin * place.stat().st_size))
        file.write(content)
    return place


def test_a_garbled_bag_is_used_and_its_damage_told(say: Say, source: Path, tmp_path: Path) -> None:
    bag = garble(source, tmp_path / "x.mcap", 0.5, b"\xff" * 300)
    code, output, error = say(bag)
    assert (code, error) == (0, "")
    assert "x.mcap is damaged" in output
    part = read_flight(bag)
    assert 20 < len(part) < len(read_flight(source))


@pytest.mark.slow
@settings(max_examples=60)
@given(begin=st.floats(0.0, 0.99), content=st.binary(min_size=1, max_size=400))
def test_garbled_bytes_are_one_sentence_at_worst(
    source: Path, tmp_path_factory: pytest.TempPathFactory, begin: float, content: bytes
) -> None:
    bag = garble(source, tmp_path_factory.mktemp("garbled") / "x.mcap", begin, content)
    try:
        for flight in read_flights(bag):
            outcome = replay(flight, find_policy(flight))
            assert format_replay(summarise_replay(outcome))
    except UserError as error:
        assert "\n" not in str(error) and ";" in str(error)


def test_ticks_of_impossible_numbers_are_left_out(source: Path, tmp_path: Path) -> None:
    whole, bag = read_flight(source), Bag(tmp_path / "bag")
    message = text(json.dumps(whole.info))
    bag.write("/snn_controller/flight_info", "std_msgs/msg/String", 0, message)
    rows = np.concatenate([np.atleast_2d(x.T).T for x in whole.columns.values()], axis=1)
    places = np.cumsum([0, *(np.atleast_2d(x.T).T.shape[1] for x in whole.columns.values())])
    start = dict(zip(whole.columns, places.tolist(), strict=False))
    for row, (label, value) in enumerate(
        {"flight": 1e300, "index": 0.5, "mode": 99.0, "mode ": np.nan, "time": np.inf,
         "stamp_seconds": -1.0, "stamp_nanoseconds": 1e9, "position": 1e30, "quaternion": 0.0,
         "command": np.nan, "body_rates": np.nan}.items(), start=10
    ):  # fmt: skip
        first, size = start[label.strip()], 4 if label == "quaternion" else 1
        rows[row, first : first + size] = value
    for row in rows:
        bag.write("/snn_controller/tick", "std_msgs/msg/Float64MultiArray", 1, tick_message(row))
    bag.close()
    part = read_flight(tmp_path / "bag")
    assert part.index.tolist() == [*range(10), *range(21, len(whole))]
    assert "1 of its messages are left out" in part.damage[0]
    assert "10 ticks hold impossible numbers" in part.damage[1]


def test_another_artifact_is_named_with_the_mend(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flight = read_flight(source)
    flight.info.update(policy_sha256="ab" * 32, policy="mine.onnx", policy_path="/a/b.onnx")
    with pytest.raises(UserError, match=r"mine.onnx .* is not at /a/b.onnx .* with --policy FILE"):
        find_policy(flight)
    assert replay_command.run([str(source), "--policy", "hover_mlp"]) == 0
    assert capsys.readouterr().out.startswith("ANOTHER POLICY on the inputs of this flight:")
