"""Foxglove's layout and RViz's configuration name only topics, fields and frames that there are.

`tests/system/test_live_view.py` looks up the same field paths in the messages of a real flight.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from snn_controller.paths import share_directory

pytest.importorskip("rclpy")

from snn_controller.flight.parameters import ControllerSettings
from snn_controller.flight_log.writer import TRANSFORMS_TYPE
from snn_controller.nodes.ros.conversions import TOPIC_TYPES, find_class
from snn_controller.nodes.viewer_node import TRANSFORM, VIEW_TOPICS
from support.foxglove_paths import PANELS, frames_of, layout, plotted, topics_of


def type_name(kind: Any) -> str:
    package, folder, *_ = kind.__module__.split(".")
    return f"{package}/{folder}/{kind.__name__}"


SERVED = {f"/{topic.lstrip('/')}": kind for topic, kind in TOPIC_TYPES.items()}
SERVED |= {f"/{topic}": type_name(kind) for topic, kind in VIEW_TOPICS.items()}
SERVED |= {f"/{TRANSFORM}": TRANSFORMS_TYPE}
WORLD = ControllerSettings().world_frame
# What a display of RViz takes; None for those without a topic.
DISPLAYS = {
    "Grid": None,
    "TF": None,
    "Odometry": "nav_msgs/msg/Odometry",
    "Pose": "geometry_msgs/msg/PoseStamped",
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "Path": "nav_msgs/msg/Path",
}


def leaves(node: Any) -> list[str]:
    return [node] if isinstance(node, str) else leaves(node["first"]) + leaves(node["second"])


def test_every_panel_is_placed_once_and_of_a_known_kind() -> None:
    placed, panels = layout()["layout"], layout()["configById"]
    assert sorted(leaves(placed)) == sorted(panels)
    assert {name.partition("!")[0] for name in panels} == set(PANELS)


@pytest.mark.parametrize("panel", sorted(layout()["configById"]))
def test_a_panel_shows_topics_of_a_type_that_it_can_show(panel: str) -> None:
    kind = panel.partition("!")[0]
    topics = topics_of(panel)
    assert topics and topics <= set(SERVED), topics - set(SERVED)
    types = PANELS[kind]
    assert types is None or {SERVED[topic] for topic in topics} <= set(types)
    assert frames_of(panel) <= {WORLD}


def test_no_topic_is_named_but_where_a_panel_shows_it() -> None:
    """So that a key that these tests do not know cannot hide a name with a slip."""
    named = json.dumps(layout()["configById"])
    known = {topic for panel in layout()["configById"] for topic in topics_of(panel)}
    for topic in known:
        named = named.replace(f'"{topic}', '"')
    assert '"/' not in named


@pytest.mark.parametrize("path", [path for path, _ in plotted()])
def test_a_plotted_path_leads_to_a_number(path: str) -> None:
    topic, *fields = path.replace("[", ".[").split(".")
    kind: Any = SERVED[topic]
    for field in fields:
        if field.startswith("["):
            assert kind.startswith("sequence<"), f"{kind} has no {field}"
            kind = kind.removeprefix("sequence<").removesuffix(">")
            continue
        package, _, name = kind.rpartition("/")
        package = package if package.endswith("/msg") else f"{package}/msg"
        parts = find_class(f"{package}/{name}").get_fields_and_field_types()
        assert field in parts, f"{kind} has no {field}"
        kind = parts[field]
    assert kind in ("double", "float"), f"{path} is a {kind}"


def test_rviz_shows_topics_of_the_types_that_its_displays_take() -> None:
    manager = yaml.safe_load((share_directory() / "config" / "fly.rviz").read_text())
    manager = manager["Visualization Manager"]
    shown = {}
    for display in manager["Displays"]:
        kind = DISPLAYS[display["Class"].removeprefix("rviz_default_plugins/")]
        assert ("Topic" in display) == (kind is not None), display["Name"]
        if kind is not None:
            topic = display["Topic"]
            shown[topic["Value"]] = kind
            # whatever a publisher offers, this hears it
            asked = topic["Reliability Policy"], topic["Durability Policy"]
            assert asked == ("Best Effort", "Volatile")
    assert shown == {topic: SERVED[topic] for topic in shown}
    assert set(shown) == {"/odom", "/goal", "/view/markers", "/view/path"}
    assert manager["Global Options"]["Fixed Frame"] == WORLD
    assert manager["Views"]["Current"]["Target Frame"] == WORLD
