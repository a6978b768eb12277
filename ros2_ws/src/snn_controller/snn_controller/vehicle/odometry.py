"""Odometry out of a `nav_msgs/Odometry`, whoever decoded it: rclpy in flight, rosbags from a bag.

One definition, so that a replayed policy sees the very numbers that it saw in flight.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from snn_controller.vehicle.frames import Array, quaternion_to_matrix
from snn_controller.vehicle.state import Odometry, State

SHORTEST = 1e-6  # of a quaternion that can be divided by its length
_SECOND = 1_000_000_000


def stamp_to_ns(stamp: Any) -> int:
    """Return a `builtin_interfaces/Time` in ns."""
    return int(stamp.sec) * _SECOND + int(stamp.nanosec)


def odometry_from_message(message: Any) -> Odometry:
    """Read odometry; the twist, given in the child frame (REP-105), is turned into the world.

    Numbers that are not finite pass through: the guards judge them. A covariance of all zeros
    states nothing; one below zero says that there is no estimate.
    """
    pose, twist = message.pose.pose, message.twist.twist
    position, orientation = pose.position, pose.orientation
    quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    linear, angular = twist.linear, twist.angular
    velocity = np.array([linear.x, linear.y, linear.z])
    if quaternion @ quaternion > SHORTEST**2:  # what is no attitude is left to the guards
        velocity = quaternion_to_matrix(quaternion) @ velocity
    return Odometry(
        stamp=stamp_to_ns(message.header.stamp),
        frame=message.header.frame_id,
        child_frame=message.child_frame_id,
        state=State(
            np.array([position.x, position.y, position.z]),
            quaternion,
            velocity,
            np.array([angular.x, angular.y, angular.z]),
        ),
        position_deviation=_deviation(message.pose.covariance[0:15:7]),
        attitude_deviation=_deviation(message.pose.covariance[21:36:7]),
        velocity_deviation=_deviation(message.twist.covariance[0:15:7]),
    )


def _deviation(variances: Array) -> float:
    """Return the largest standard deviation of variances (3,), infinity for impossible ones."""
    x, y, z = variances.tolist()
    if x == y == z == 0.0:
        return 0.0
    return math.sqrt(max(x, y, z)) if min(x, y, z) >= 0.0 else math.inf
