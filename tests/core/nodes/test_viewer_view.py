"""What RViz and Foxglove get is what the scene holds."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from visualization_msgs.msg import Marker

from snn_controller.flight_log.message_types import TRANSFORMS_TYPE, message_types, transform_bytes
from snn_controller.nodes.viewer.scene import BLUE, Shape
from snn_controller.nodes.viewer.view import (
    error_message,
    figures_message,
    markers_message,
    path_message,
)

NOW = Time(sec=3, nanosec=4)
POINTS = np.array([[0.0, 0.0, 1.0], [1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("kind", "marker_type"),
    [
        ("lines", Marker.LINE_LIST),
        ("arrow", Marker.ARROW),
        ("sphere", Marker.SPHERE),
        ("text", Marker.TEXT_VIEW_FACING),
    ],
)
def test_a_shape_becomes_a_marker_of_its_kind(kind, marker_type: int) -> None:
    shape = Shape("thing", 7, kind, POINTS, BLUE, 0.1, "word" if kind == "text" else "")
    clear, marker = markers_message([shape], "odom", NOW).markers
    assert clear.action == Marker.DELETEALL
    assert (marker.type, marker.ns, marker.id) == (marker_type, "thing", 7)
    assert (marker.header.frame_id, marker.header.stamp) == ("odom", NOW)
    assert marker.color.b == pytest.approx(BLUE[2]) and marker.color.a == 1.0
    assert marker.scale.x == 0.1 and marker.pose.orientation.w == 1.0
    points = [(p.x, p.y, p.z) for p in marker.points]
    if kind in ("lines", "arrow"):
        assert points == [tuple(x) for x in POINTS.tolist()]
    else:
        assert points == [] and marker.pose.position.z == 1.0
    assert marker.text == shape.text


def test_path_error_and_figures_hold_their_numbers() -> None:
    path = path_message(list(POINTS), "odom", NOW)
    assert [pose.pose.position.z for pose in path.poses] == [1.0, 3.0]
    error = error_message(np.array([0.1, 0.2, 0.3]), "odom", NOW)
    assert (error.vector.x, error.vector.z) == (0.1, 0.3)
    figures = figures_message({"lif1": 0.5, "lif2": float("nan")})
    assert [dim.label for dim in figures.layout.dim] == ["lif1", "lif2"]
    assert figures.data[0] == 0.5 and np.isnan(figures.data[1])


def test_a_transform_is_written_without_its_package() -> None:
    data = transform_bytes(
        5_000_000_007, ("odom", "base_link"), POINTS[1], np.array([0.0, 0.6, 0.0, 0.8])
    )
    (transform,) = message_types().deserialize_cdr(data, TRANSFORMS_TYPE).transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("odom", "base_link")
    assert (transform.header.stamp.sec, transform.header.stamp.nanosec) == (5, 7)
    assert transform.transform.translation.y == 2.0
    assert transform.transform.rotation.w == 0.8
