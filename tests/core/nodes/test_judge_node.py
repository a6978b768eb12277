"""Simulator, controller and judge as three processes, as three containers would hold them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")
pytest.importorskip("pybullet")

FLIGHT = ["observers:=judge", "seed:=1", "duration:=2.0"]
TIMEOUT = 120.0  # s, for a busy machine


@pytest.fixture
def start(
    ros_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start parts as processes in a folder of their own; nobody outlives the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(module: str, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"snn_controller.{module}", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ros_environment,
            cwd=tmp_path,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.terminate()
        process.communicate(timeout=TIMEOUT)


def judge_words(folder: Path, **parameters: object) -> list[str]:
    given = {
        "report": folder,
        "folder": folder / "bag",
        "reliable": True,
        "use_sim_time": True,
        "patience": 2.0,
        **parameters,
    }
    return ["--ros-args", *(word for k, v in given.items() for word in ("-p", f"{k}:={v}"))]


@pytest.mark.slow
def test_a_flight_is_judged_by_what_a_third_party_sees(start, tmp_path: Path) -> None:
    judge = start("nodes.judge_node", *judge_words(tmp_path / "judge"))
    start("bringup.runner", "part:=simulator", *FLIGHT)
    controller = start("bringup.runner", "part:=controller", f"report:={tmp_path / 'own'}", *FLIGHT)
    judged, _ = judge.communicate(timeout=TIMEOUT)
    controller.communicate(timeout=TIMEOUT)
    assert judge.returncode == 0, judged
    seen = json.loads((tmp_path / "judge" / "report.json").read_text())
    told = json.loads((tmp_path / "own" / "report.json").read_text())
    assert seen["passed"] and seen["flight"]["ticks"] == told["ticks"] == 201
    # The same numbers by two ways: the controller's log, and the topics.
    assert seen["flight"]["motion_sha256"] == told["motion_sha256"]
    assert ElementTree.parse(tmp_path / "judge" / "junit.xml").getroot().get("failures") == "0"
    assert (tmp_path / "judge" / "bag" / "bag.mcap").stat().st_size > 10_000


def test_a_judge_that_hears_nothing_says_so_and_fails(start, tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    judge = start("nodes.judge_node", *judge_words(folder, startup_time=1.0))
    judged, _ = judge.communicate(timeout=TIMEOUT)
    assert judge.returncode == 1
    assert "FAIL heard: 0 odometry samples" in judged
    assert json.loads((folder / "report.json").read_text())["passed"] is False


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [({"report": "''"}, "parameter 'report' is empty"), ({"expect": "luck"}, "expect")],
)
def test_a_judge_without_a_task_ends_with_a_sentence(
    start, tmp_path: Path, parameters: dict[str, object], sentence: str
) -> None:
    judge = start("nodes.judge_node", *judge_words(tmp_path / "judge", **parameters))
    said, _ = judge.communicate(timeout=TIMEOUT)
    assert judge.returncode == 2
    assert "error: " in said and sentence in said and "Traceback" not in said
