"""A real flight (15 s), watched by a WebSocket client and recorded: as if nobody watched."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("foxglove", reason="the extra viz is not installed")
pytest.importorskip("mcap_ros2.decoder", reason="decodes by what is advertised")
pytest.importorskip("websockets.sync.client")

from snn_controller.flight_log.recorded_flight import read_flight
from snn_controller.replay.replay import find_policy, replay, replays_exactly, summarise_replay
from support.foxglove_watcher import TIMEOUT, Watcher

COMMAND = [sys.executable, "-m", "snn_controller.bringup.runner"]
FLIGHT = ("task:=figure8", "duration:=8", "seed:=3")
WANTED = {"/odom", "/snn_controller/spikes", "/snn_controller/tick", "/view/markers",
          "/view/spike_rates", "/view/transform", "/snn_controller/flight_info"}  # fmt: skip


def fly(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env=environment)  # fmt: skip


@pytest.fixture(scope="module")
def flown(
    tmp_path_factory: pytest.TempPathFactory, lasting_ros_environment: dict[str, str]
) -> Iterator[tuple[Path, Watcher]]:
    """The report folder of a watched and recorded flight, and who watched."""
    folder, environment = tmp_path_factory.mktemp("watched"), lasting_ros_environment
    plain = fly(environment, *FLIGHT, f"report:={folder / 'plain'}")
    output, _ = plain.communicate(timeout=TIMEOUT)
    assert plain.returncode == 0, output
    words = ("record:=true", "foxglove:=true", "foxglove_port:=0", f"report:={folder / 'watched'}")
    process = fly(environment, *FLIGHT, *words)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"ws://127\.0\.0\.1:\d+", line):
                break
        else:
            raise AssertionError("no address was told")
        with Watcher(found.group(), WANTED) as watcher:
            assert not watcher.watch(), "the server outlived its flight"
        output = process.stdout.read()
        assert process.wait(TIMEOUT) == 0, output
    finally:
        process.kill()
    yield folder, watcher


def test_odometry_and_spikes_arrive_and_are_decoded(flown: tuple[Path, Watcher]) -> None:
    received = flown[1].received
    heights = [x.pose.pose.position.z for x in received["/odom"]]
    assert len(heights) > 100 and 0.5 < np.median(heights) < 1.5
    report = json.loads((flown[0] / "watched" / "report.json").read_text())
    spikes = received["/snn_controller/spikes"]
    labels = [dim.label for dim in spikes[-1].layout.dim]
    assert labels == list(report["spike_rate"])
    sizes = [dim.size for dim in spikes[-1].layout.dim]
    assert len(spikes[-1].data) == sum(sizes) and set(spikes[-1].data) <= {0, 1}
    rate = np.mean([np.mean(list(x.data[: sizes[0]])) for x in spikes])
    assert rate == pytest.approx(report["spike_rate"][labels[0]], abs=0.1)


def test_markers_rates_and_the_transform_fit_the_flight(flown: tuple[Path, Watcher]) -> None:
    received = flown[1].received
    names = {marker.ns for marker in received["/view/markers"][-1].markers}
    assert {"geofence", "drone", "reference"} <= names
    assert any(x.ns == "thrust" for message in received["/view/markers"] for x in message.markers)
    rates = received["/view/spike_rates"][0]
    assert [dim.label for dim in rates.layout.dim] == ["lif1", "lif2"]
    (transform,) = received["/view/transform"][-1].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("odom", "base_link")


def test_watching_and_recording_do_not_change_the_flight(flown: tuple[Path, Watcher]) -> None:
    plain, watched = (
        json.loads((flown[0] / name / "report.json").read_text()) for name in ("plain", "watched")
    )
    assert plain["motion_sha256"] == watched["motion_sha256"]


def test_the_recorded_flight_is_whole_and_replays_to_the_bit(flown: tuple[Path, Watcher]) -> None:
    flight = read_flight(flown[0] / "watched")
    summary = summarise_replay(replay(flight, find_policy(flight)))
    assert summary["lost_ticks"] == 0 and replays_exactly(summary)
    assert summary["judged_ticks"] == summary["ticks"] == 801
    assert summary["odometry_equal_ticks"] == summary["odometry_ticks"] == 801
    report = json.loads((flown[0] / "watched" / "report.json").read_text())
    assert flight.info["policy_sha256"] == report["policy_sha256"]


def test_a_port_that_is_taken_is_one_sentence(ros_environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = fly(ros_environment, "foxglove:=true", f"foxglove_port:={port}")
        output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 2
    assert output.strip() == (
        f"error: port {port} of 127.0.0.1 is taken; stop who has it, or give foxglove_port:=PORT"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["foxglove_host:=300.1.1.1"], "nothing can be served at '300.1.1.1'"),
        (["foxglove_port:=99999"], "foxglove_port:=99999 must be 0 to 65535"),
        (["foxglove_port:=x"], "foxglove_port:=x must be a whole number"),
    ],
)
def test_an_impossible_address_is_one_sentence(
    ros_environment: dict[str, str], words: list[str], sentence: str
) -> None:
    process = fly(ros_environment, "foxglove:=true", *words)
    output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 2
    assert sentence in output and output.count("\n") == 1
