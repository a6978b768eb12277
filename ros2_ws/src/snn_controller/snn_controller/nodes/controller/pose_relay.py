"""Gives measured poses of a topic, as of motion capture, to a vehicle's own estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data

from snn_controller.errors import UserError
from snn_controller.vehicle import State

POSE_TOPIC = "pose"


class PoseRelay:
    """Forwards poses for as long as their link lives."""

    def __init__(self, node: Node, link: Any, frame: str) -> None:
        """Subscribe to poses in a world frame (ENU).

        Raises:
            UserError: The link's vehicles take no poses.
        """
        send: Callable[[State], None] | None = getattr(link, "send_pose", None)
        if send is None:
            raise UserError(
                f"link '{link.name}' takes no poses from outside; set external_pose to false"
            )
        self._node = node
        self._frame = frame
        self._send = WeakMethod(send)
        self._subscription = node.create_subscription(
            PoseStamped, POSE_TOPIC, self._on_pose, qos_profile_sensor_data
        )

    def _on_pose(self, message: PoseStamped) -> None:
        send = self._send()
        if send is None:
            self._node.destroy_subscription(self._subscription)
            return
        state = state_from_pose(message)
        if message.header.frame_id != self._frame or state is None:
            self._node.get_logger().warning(
                f"pose in frame '{message.header.frame_id}' ignored; send finite poses in"
                f" '{self._frame}'",
                throttle_duration_sec=1.0,
            )
            return
        send(state)


def state_from_pose(message: PoseStamped) -> State | None:
    """Return the state at rest of a pose, None where it is no pose."""
    position, orientation = message.pose.position, message.pose.orientation
    state = State(
        np.array([position.x, position.y, position.z]),
        np.array([orientation.x, orientation.y, orientation.z, orientation.w]),
        np.zeros(3),
        np.zeros(3),
    )
    length = np.linalg.norm(state.quaternion)
    return state if state.is_finite() and abs(length - 1.0) < 0.05 else None
