"""Foxglove's layout shows what the viewer serves; RViz's configuration too."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from snn_controller.share import share_directory

pytest.importorskip("rclpy")

from snn_controller.nodes.message_types import TOPIC_TYPES
from snn_controller.nodes.viewer_node import TRANSFORM, VIEW_TOPICS

SERVED = {f"/{topic.lstrip('/')}" for topic in (*TOPIC_TYPES, *VIEW_TOPICS, TRANSFORM)}
CONFIG = share_directory() / "config"


def leaves(node: Any) -> list[str]:
    return [node] if isinstance(node, str) else leaves(node["first"]) + leaves(node["second"])


def test_every_panel_is_placed_once_and_shows_what_is_served() -> None:
    layout = json.loads((CONFIG / "foxglove.json").read_text())
    panels = layout["configById"]
    assert sorted(leaves(layout["layout"])) == sorted(panels)
    text = json.dumps(panels)
    topics = set(re.findall(r'"(/[a-z_]+(?:/[a-z_]+)*)', text))
    assert {"/view/markers", "/view/spike_rates", "/view/membranes", "/diagnostics"} <= topics
    assert topics <= SERVED


def test_rviz_shows_topics_that_somebody_publishes() -> None:
    config = yaml.safe_load((CONFIG / "fly.rviz").read_text())
    displays = config["Visualization Manager"]["Displays"]
    topics = {display["Topic"]["Value"] for display in displays if "Topic" in display}
    assert topics == {"/odom", "/goal", "/view/markers", "/view/path"}
    assert topics <= SERVED
