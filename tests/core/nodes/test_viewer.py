"""What is drawn is where it is, and what RViz and Foxglove get is what the scene holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from visualization_msgs.msg import Marker

from snn_controller.flight_log.writer import TRANSFORMS_TYPE, message_types, transform_bytes
from snn_controller.nodes.viewer.view import (
    BLUE,
    HOVER_LENGTH,
    Shape,
    Trail,
    drone,
    error_message,
    fence,
    figures_message,
    markers_message,
    path_message,
    scene,
    target,
    thrust,
)
from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.state import Reference, State

NOW = Time(sec=3, nanosec=4)
POINTS = np.array([[0.0, 0.0, 1.0], [1.0, 2.0, 3.0]])
HERE = np.array([1.0, -2.0, 0.5])
QUARTER_ROLL = np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])  # body z points to world -y


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


def placed(quaternion: np.ndarray | None = None) -> State:
    attitude = np.array([0.0, 0.0, 0.0, 1.0]) if quaternion is None else quaternion
    return State(HERE, attitude, np.zeros(3), np.zeros(3))


def test_the_fence_has_the_twelve_edges_of_its_box() -> None:
    shape = fence([-3.0, 3.0, -2.0, 2.0, 0.0, 1.0])
    edges = shape.points.reshape(12, 2, 3)
    lengths = np.sort(np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1))
    assert lengths.tolist() == [1.0] * 4 + [4.0] * 4 + [6.0] * 4
    assert set(map(tuple, np.abs(edges.reshape(-1, 3)[:, :2]))) == {(3.0, 2.0)}
    assert len({frozenset(map(tuple, edge)) for edge in edges}) == 12


def test_hovering_rotors_carry_four_equal_arrows_upwards(quadrotor: Quadrotor) -> None:
    command = np.full(4, quadrotor.hover_throttle)
    arrows = thrust(placed(), quadrotor, command, "motors")
    ways = np.array([arrow.points[1] - arrow.points[0] for arrow in arrows])
    assert np.allclose(ways, [0.0, 0.0, HOVER_LENGTH])
    roots = np.array([arrow.points[0] for arrow in arrows])
    assert np.allclose(roots.mean(axis=0), HERE)
    directions = np.sign(roots - HERE)[:, :2]
    assert (directions == np.sign(quadrotor.rotor_positions)).all()
    assert [arrow.number for arrow in arrows] == [0, 1, 2, 3]


def test_thrust_points_along_the_body_and_grows_with_the_command(quadrotor: Quadrotor) -> None:
    (arrow,) = thrust(placed(QUARTER_ROLL), quadrotor, np.array([2 * quadrotor.gravity, 0, 0, 0]),
                      "thrust_rates")  # fmt: skip
    tip = np.add(HERE, [0.0, -2.0 * HOVER_LENGTH, 0.0])
    assert np.allclose(arrow.points, [HERE, tip])
    full = thrust(placed(), quadrotor, np.ones(4), "motors")[0]
    assert np.ptp(full.points[:, 2]) > 1.5 * HOVER_LENGTH


def test_the_mode_stands_above_the_drone_in_its_colour(quadrotor: Quadrotor) -> None:
    arms, label = drone(placed(), quadrotor, "policy")
    assert label.text == "policy" and label.points[0, 2] > HERE[2]
    assert np.allclose(arms.points[::2], HERE) and arms.points.shape == (8, 3)
    assert drone(placed(), quadrotor, "fallback")[0].colour != arms.colour


def test_a_moving_reference_has_an_arrow_and_an_error_line() -> None:
    still = target(placed(), Reference(np.zeros(3)))
    moving = target(placed(), Reference(np.zeros(3), np.array([1.0, 0.0, 0.0])))
    assert [(x.name, x.kind) for x in still] == [("reference", "sphere"), ("error", "lines")]
    assert [x.kind for x in moving] == ["sphere", "arrow", "lines"]
    assert (moving[1].points[1] > 0.0).tolist() == [True, False, False]
    assert np.array_equal(moving[2].points, [HERE, np.zeros(3)])


@pytest.mark.parametrize("stopped", [0.0, 1.0])
def test_a_scene_has_no_thrust_where_motors_are_off(quadrotor: Quadrotor, stopped: float) -> None:
    columns = {
        "position": HERE[None],
        "quaternion": np.array([[0.0, 0.0, 0.0, 1.0]]),
        "velocity": np.zeros((1, 3)),
        "body_rates": np.zeros((1, 3)),
        "reference_position": np.zeros((1, 3)),
        "reference_velocity": np.zeros((1, 3)),
        "command": np.full((1, 4), 0.5),
        "stopped": np.array([stopped]),
    }
    names = {shape.name for shape in scene(columns, quadrotor, "policy", "motors")}
    assert names == {"drone", "mode", "reference", "error"} | (set() if stopped else {"thrust"})
    columns["position"] = np.full((1, 3), np.nan)
    names = {shape.name for shape in scene(columns, quadrotor, "policy", "motors")}
    assert names == {"reference"}


@given(st.lists(st.floats(-5.0, 5.0), max_size=50), st.integers(1, 20))
def test_a_trail_keeps_points_apart_and_no_more_than_it_may(xs: list[float], most: int) -> None:
    trail = Trail(spacing=0.1, capacity=most)
    for x in xs:
        trail.add(np.array([x, 0.0, 0.0]))
    trail.add(np.full(3, np.nan))
    assert len(trail.points) <= most
    steps = np.abs(np.diff([point[0] for point in trail.points]))
    assert (steps >= 0.1).all()
