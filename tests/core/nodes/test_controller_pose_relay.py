"""Poses of a topic on their way to a link."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("rclpy")
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data

from snn_controller.errors import UserError
from snn_controller.nodes.controller.pose_relay import PoseRelay
from snn_controller.vehicle.state import State


class Taker:
    name = "taker"

    def __init__(self) -> None:
        self.states: list[State] = []

    def send_pose(self, state: State) -> None:
        self.states.append(state)


@pytest.fixture
def node(ros_environment: dict[str, str]) -> Iterator[Node]:
    rclpy.init()
    made = Node("poses")
    yield made
    made.destroy_node()
    rclpy.shutdown()


def pose(frame: str = "odom", x: float = 1.0, w: float = 1.0) -> PoseStamped:
    message = PoseStamped()
    message.header.frame_id = frame
    message.pose.position.x = x
    message.pose.orientation.w = w
    return message


def spin(node: Node, publish: Callable[[], None], until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not until() and time.monotonic() < deadline:
        publish()
        rclpy.spin_once(node, timeout_sec=0.02)


def test_poses_reach_the_link_and_others_do_not(node: Node) -> None:
    taker = Taker()
    PoseRelay(node, taker, "odom")
    publisher = node.create_publisher(PoseStamped, "pose", qos_profile_sensor_data)

    def publish() -> None:
        for message in (pose("map"), pose(x=math.nan), pose(w=2.0), pose(x=3.0)):
            publisher.publish(message)

    spin(node, publish, lambda: len(taker.states) >= 3)
    assert len(taker.states) >= 3
    assert {state.position[0] for state in taker.states} == {3.0}


def test_a_relay_ends_with_its_link(node: Node) -> None:
    taker = Taker()
    PoseRelay(node, taker, "odom")
    publisher = node.create_publisher(PoseStamped, "pose", qos_profile_sensor_data)
    del taker
    spin(node, lambda: publisher.publish(pose()), lambda: node.count_subscribers("pose") == 0)
    assert node.count_subscribers("pose") == 0


def test_links_without_an_estimator_for_poses_are_refused(node: Node) -> None:
    class Deaf:
        name = "deaf"

    with pytest.raises(UserError, match="link 'deaf' takes no poses"):
        PoseRelay(node, Deaf(), "odom")
