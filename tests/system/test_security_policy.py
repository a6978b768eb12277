"""The access control file names what the running graph publishes, subscribes and serves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from snn_controller.paths import share_directory

rclpy = pytest.importorskip("rclpy")

VIEWED = find_spec("foxglove") is not None  # of the extra viz
NODES = ("snn_controller", "simulator", "recorder", *(["viewer"] if VIEWED else []))
QUERIES = {
    "publish": "get_publisher_names_and_types_by_node",
    "subscribe": "get_subscriber_names_and_types_by_node",
    "reply": "get_service_names_and_types_by_node",
}
# What a node uses in other flights than this one.
ELSEWHERE = {
    ("snn_controller", "publish"): {"/thrust_rates"},
    ("snn_controller", "subscribe"): {"/pose", "/parameter_events"},
    ("simulator", "publish"): {"/tf"},
    ("simulator", "subscribe"): {"/parameter_events"},
    ("recorder", "subscribe"): {"/tf", "/parameter_events"},
    ("viewer", "subscribe"): {"/parameter_events"},
}


def allowed() -> dict[tuple[str, str], set[str]]:
    """(node, right) -> names, as the file has them."""
    rules: dict[tuple[str, str], set[str]] = defaultdict(set)
    root = ElementTree.parse(share_directory() / "config" / "security.xml").getroot()
    for enclave in root.iter("enclave"):
        (profile,) = enclave.iter("profile")
        assert enclave.get("path") == f"/{profile.get('node')}"
        for group in profile:
            (right,) = group.attrib
            names = {x.text if (x.text or "")[0] == "/" else f"/{x.text}" for x in group}
            rules[str(profile.get("node")), right] |= names
    return rules


@pytest.fixture
def probe(ros_environment: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """A node that sees a recorded flight in real time."""
    words = ["lockstep:=false", "record:=true", f"report:={tmp_path / 'out'}", "duration:=60"]
    words += ["foxglove:=true", "foxglove_port:=0"] if VIEWED else []
    command = [sys.executable, "-m", "snn_controller.bringup.runner", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    flight = subprocess.Popen(command, env=ros_environment, cwd=tmp_path, **quiet)
    rclpy.init()
    node = rclpy.create_node("probe")
    yield node
    flight.terminate()
    flight.wait(30)
    node.destroy_node()
    rclpy.try_shutdown()


def used(probe: Any, node: str, right: str) -> set[str]:
    return {name for name, _ in getattr(probe, QUERIES[right])(node, "/")}


def wait_for_flight(probe: Any) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if set(NODES) <= set(probe.get_node_names()):
            in_flight = "/odom" in used(probe, "snn_controller", "subscribe")
            if in_flight and "/motors" in used(probe, "recorder", "subscribe"):
                time.sleep(1.0)  # discovery of a node comes in parts
                return
        time.sleep(0.2)
    raise AssertionError(probe.get_node_names())


def test_the_access_control_file_fits_the_running_graph(probe: Any) -> None:
    wait_for_flight(probe)
    rules = allowed()
    for node in NODES:
        for right in QUERIES:
            found, listed = used(probe, node, right), rules[node, right]
            assert found <= listed, (node, right, found - listed)
            unused = listed - found - ELSEWHERE.get((node, right), set())
            assert not unused, (node, right, unused)


def test_operators_and_estimators_may_not_command_motors() -> None:
    rules = allowed()
    commands = {"/motors", "/thrust_rates"}
    publishers = {node for (node, right), x in rules.items() if right == "publish" and x & commands}
    assert publishers == {"snn_controller"}
    assert rules["operator", "request"] - rules["snn_controller", "reply"] == set()
