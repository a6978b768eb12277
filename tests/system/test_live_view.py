"""A flight in real time that two WebSocket clients watch (20 s), until they have seen enough.

Nothing here asks the flight to go well: on a busy machine the drone may tumble, which its guards
let pass here, so that all goes on that can be watched. Where one of them takes the policy out all
the same before enough was seen, the machine is too busy to say anything.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("foxglove", reason="the extra viz is not installed")
pytest.importorskip("mcap_ros2.decoder", reason="decodes by what is advertised")
pytest.importorskip("websockets.sync.client")

from snn_controller.flight_log.log import MODES, TICK_FIELDS, split_rows, stamps_of
from snn_controller.vehicle.state import stamp_to_ns
from support.foxglove_paths import PANELS, layout, look_up, plotted, topics_of
from support.foxglove_watcher import TIMEOUT, Watcher
from support.real_time import excused_by_overload

WORDS = ("duration:=600", "lockstep:=false", "foxglove:=true", "foxglove_port:=0")
PARAMETERS = {
    "/**": {"hover_height": 45.0},  # far to fall
    "/**/snn_controller": {
        "max_missed_share": 1.0,
        "max_tick_age": 1.0,
        "odometry_timeout": 0.5,
        "frozen_time": 3600.0,
        "max_tilt_deg": 180.0,
        "max_speed": 100.0,
        "max_body_rate": 200.0,
        "max_position_jump": 100.0,
        "max_velocity_jump": 100.0,
        "max_attitude_jump_deg": 180.0,
        "max_saturation": 1.0,
        "max_action_step": 2.0,
        "layer_window": 60.0,
        "geofence": [-99.0, 99.0, -99.0, 99.0, -9.0, 99.0],
        "overturned_time": 60.0,
    },
    "/**/simulator": {"start": "easy", "command_timeout": 1.0},
}
pytestmark = pytest.mark.timeout(400)
PATIENCE = 180.0  # s until enough was seen; some 4 s where the machine is idle
pytestmark = pytest.mark.realtime
FACTS, TICKS = "/snn_controller/flight_info", "/snn_controller/tick"
SPIKES, MEMBRANES = "/snn_controller/spikes", "/snn_controller/membranes"
# Topic -> how many messages are enough. What is not here comes with these, or only now and then.
ENOUGH = {
    "/odom": 100,
    "/motors": 100,
    "/clock": 100,
    "/diagnostics": 1,
    TICKS: 100,
    FACTS: 2,
    SPIKES: 5,
    MEMBRANES: 5,
    "/view/markers": 20,
    "/view/path": 1,
    "/view/error": 20,
    "/view/spike_rates": 20,
    "/view/membranes": 20,
    "/view/work": 20,
    "/view/transform": 20,
}
LAYERS = {"lif1": 256, "lif2": 128}


@dataclass
class Seen:
    """What was watched, and how the flight ended."""

    first: Watcher
    late: list[Any] = field(default_factory=list)  # facts, as told to who came late
    exit_code: int | None = None
    output: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def ticks(self) -> dict[str, np.ndarray]:
        messages = self.first.received[TICKS]
        dims = messages[0].layout.dim
        rows = np.array([message.data for message in messages])
        return split_rows(rows, [dim.label for dim in dims], [dim.size for dim in dims])


@pytest.fixture(scope="module")
def seen(
    tmp_path_factory: pytest.TempPathFactory, lasting_ros_environment: dict[str, str]
) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("live")
    parameters = folder / "calm.yaml"
    given = {name: {"ros__parameters": values} for name, values in PARAMETERS.items()}
    parameters.write_text(yaml.safe_dump(given))
    words = (*WORDS, f"params_file:={parameters}", f"report:={folder / 'out'}")
    command = [sys.executable, "-m", "snn_controller.bringup.runner", *words]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=lasting_ros_environment,
    )
    with excused_by_overload():
        try:
            seen = Seen(*_watch(_address(process)))
            process.send_signal(signal.SIGINT)
            seen.output, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
            process.wait()
        seen.exit_code = process.returncode
        seen.report = json.loads((folder / "out" / "report.json").read_text())
        relieved = str(seen.report["failure"]).startswith("the policy was relieved")
        assert seen.late or not relieved, seen.report["failure"]
    yield seen


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"ws://127\.0\.0\.1:\d+", line):
            return found.group()
    raise AssertionError("no address was told")


def _has_enough(watcher: Watcher) -> bool:
    return all(len(watcher.received[topic]) >= n for topic, n in ENOUGH.items())


def _watch(address: str) -> tuple[Watcher, list[Any]]:
    with Watcher(address, ENOUGH) as first:
        enough = partial(_has_enough, first)
        served = first.watch(enough, seconds=PATIENCE)
        if not served:
            return first, []
        with Watcher(address, [FACTS]) as late:
            late.watch(lambda: bool(late.received[FACTS]))
    return first, late.received[FACTS]


def test_every_topic_arrives_in_real_time(seen: Seen) -> None:
    few = {x: len(seen.first.received[x]) for x, n in ENOUGH.items()}
    assert all(few[x] >= n for x, n in ENOUGH.items()), (few, seen.output)


def test_facts_come_to_who_is_there_and_to_who_comes_late(seen: Seen) -> None:
    for message in (seen.first.received[FACTS][0], seen.late[0]):
        facts = json.loads(message.data)
        assert (facts["task"], facts["flight"], facts["lockstep"]) == ("hover", 1, False)
        assert facts["layers"] == LAYERS
        assert facts["policy_sha256"] == seen.report["policy_sha256"]


def test_ticks_come_in_order_and_none_twice(seen: Seen) -> None:
    ticks = seen.ticks
    assert [(x, n) for x, n in TICK_FIELDS] == [
        (dim.label, dim.size) for dim in seen.first.received[TICKS][0].layout.dim
    ][: len(TICK_FIELDS)]
    assert (np.diff(ticks["index"]) >= 1).all()
    assert (np.diff(stamps_of(ticks)) > 0).all()
    assert (np.diff(ticks["time"]) > 0.0).all()
    flown = ticks["ran"] == 1.0
    assert flown.any()
    assert np.abs(ticks["action"][flown]).max() <= 1.0
    for layer in LAYERS:
        rates = ticks[f"spike_rate_{layer}"][flown]
        assert ((rates >= 0.0) & (rates <= 1.0)).all() and rates.max() > 0.0


def test_ticks_hold_the_odometry_that_they_answer(seen: Seen) -> None:
    places = {
        stamp_to_ns(x.header.stamp): x.pose.pose.position for x in seen.first.received["/odom"]
    }
    shared = [n for n, x in enumerate(stamps_of(seen.ticks).tolist()) if x in places]
    assert shared  # either may have been dropped on its way
    for n in shared:
        place = places[stamps_of(seen.ticks)[n].item()]
        assert (place.x, place.y, place.z) == tuple(seen.ticks["position"][n])


def test_neurons_are_told_by_layer(seen: Seen) -> None:
    for topic in (SPIKES, MEMBRANES):
        for message in seen.first.received[topic]:
            assert {dim.label: dim.size for dim in message.layout.dim} == LAYERS
            assert len(message.data) == sum(LAYERS.values())
    assert {x for message in seen.first.received[SPIKES] for x in message.data} == {0, 1}
    potentials = np.array([message.data for message in seen.first.received[MEMBRANES]])
    assert np.isfinite(potentials).all() and potentials.std() > 0.0
    shown = seen.first.received["/view/membranes"][-1]
    names = [f"{layer}[{n}]" for layer in LAYERS for n in range(4)]
    assert [dim.label for dim in shown.layout.dim] == names and len(shown.data) == len(names)


def test_pose_and_markers_are_where_the_drone_is(seen: Seen) -> None:
    ticks = seen.ticks
    places = dict(zip(stamps_of(ticks).tolist(), ticks["position"], strict=True))
    modes = dict(zip(stamps_of(ticks).tolist(), ticks["mode"], strict=True))
    compared = 0
    for message in seen.first.received["/view/transform"]:
        (transform,) = message.transforms
        assert (transform.header.frame_id, transform.child_frame_id) == ("odom", "base_link")
        place = places.get(stamp_to_ns(transform.header.stamp))
        moved = transform.transform.translation
        if place is not None:
            compared += 1
            assert (moved.x, moved.y, moved.z) == tuple(place)
    assert compared > 0  # a watcher who is slow loses some of each
    for message in seen.first.received["/view/markers"]:
        shown = {marker.ns: marker for marker in message.markers}
        assert {marker.header.frame_id for marker in message.markers} == {"odom"}
        assert {"geofence", "drone", "mode", "reference"} <= set(shown)
        stamp = stamp_to_ns(shown["drone"].header.stamp)
        if stamp in places:
            point = shown["drone"].points[0]
            assert (point.x, point.y, point.z) == tuple(places[stamp])
            assert shown["mode"].text == MODES[int(modes[stamp])]
    names = {x.ns for message in seen.first.received["/view/markers"] for x in message.markers}
    assert "thrust" in names


@pytest.mark.parametrize("panel", sorted(layout()["configById"]))
def test_the_layouts_panels_show_what_is_advertised(seen: Seen, panel: str) -> None:
    types = PANELS[panel.partition("!")[0]]
    for topic in topics_of(panel):
        kind = seen.first.channels[topic]["schemaName"]
        assert types is None or kind in types


@pytest.mark.parametrize(("path", "label"), plotted())
def test_what_the_layout_plots_is_a_number_of_that_name(seen: Seen, path: str, label: str) -> None:
    topic = path.partition(".")[0]
    values = [look_up(path, message) for message in seen.first.received[topic]]
    assert all(isinstance(x, float) for x in values)
    last, place = seen.first.received[topic][-1], path[-2]
    names = {
        "/motors": lambda: last.name[int(place)],
        "/view/error": lambda: path[-1],
        "/view/spike_rates": lambda: f"layer {list(LAYERS).index(_label(last, place)) + 1}",
        "/view/membranes": lambda: f"neuron {int(_label(last, place)[5:-1]) + 1}",
        "/view/work": lambda: {"synaptic_ops": "operations", "latency_ms": "latency"}[
            _label(last, place)
        ],
    }
    assert names[topic]() == label


def _label(message: Any, place: str) -> str:
    return message.layout.dim[int(place)].label


def test_the_server_takes_nothing_from_who_watches(seen: Seen) -> None:
    assert seen.first.capabilities == []


def test_interrupting_a_watched_flight_leaves_its_report(seen: Seen) -> None:
    assert seen.exit_code in (128 + signal.SIGINT, 1), seen.output  # 1: a guard was faster
    assert seen.report["ticks"] >= len(seen.first.received[TICKS])
    assert "Traceback" not in seen.output
