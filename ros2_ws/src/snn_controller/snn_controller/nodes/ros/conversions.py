"""Conversions between the core's types and standard ROS messages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry as OdometryMessage
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32MultiArray, MultiArrayDimension, MultiArrayLayout, UInt8MultiArray

from snn_controller.vehicle import Command, Odometry

TOPIC_TYPES = {
    "odom": "nav_msgs/msg/Odometry",
    "goal": "geometry_msgs/msg/PoseStamped",
    "motors": "sensor_msgs/msg/JointState",
    "thrust_rates": "geometry_msgs/msg/TwistStamped",
    "snn_controller/spikes": "std_msgs/msg/UInt8MultiArray",
    "snn_controller/membranes": "std_msgs/msg/Float32MultiArray",
    "snn_controller/tick": "std_msgs/msg/Float64MultiArray",
    "snn_controller/flight_info": "std_msgs/msg/String",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "/clock": "rosgraph_msgs/msg/Clock",
}


def find_class(message_type: str) -> Any:
    """Return the class of a type such as `nav_msgs/msg/Odometry`, None if not installed."""
    module, _, name = message_type.rpartition("/")
    try:
        return getattr(import_module(module.replace("/", ".")), name)
    except (ImportError, AttributeError):
        return None


MOTOR_NAMES = ["m1", "m2", "m3", "m4"]
_SECOND = 1_000_000_000


def ns_to_stamp(nanoseconds: int) -> Time:
    """Return the stamp of a time in ns."""
    return Time(sec=nanoseconds // _SECOND, nanosec=nanoseconds % _SECOND)


def odometry_to_message(odometry: Odometry) -> OdometryMessage:
    """Write odometry, with the velocity turned into the body as REP-105 asks."""
    message = OdometryMessage()
    message.header.stamp = ns_to_stamp(odometry.stamp)
    message.header.frame_id = odometry.frame
    message.child_frame_id = odometry.child_frame
    state = odometry.state
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.x, pose.position.y, pose.position.z = map(float, state.position)
    orientation = pose.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = map(float, state.quaternion)
    velocity = state.rotation.T @ state.velocity
    twist.linear.x, twist.linear.y, twist.linear.z = map(float, velocity)
    twist.angular.x, twist.angular.y, twist.angular.z = map(float, state.body_rates)
    return message


def motors_to_message(command: Command, stamp: int) -> JointState:
    """Write a motor command: `position` is throttle in [0, 1], NaN switches a motor off."""
    message = JointState(name=MOTOR_NAMES)
    message.header.stamp = ns_to_stamp(stamp)
    message.position = [float("nan")] * 4 if command.stop else command.values.tolist()
    return message


def motors_from_message(message: JointState) -> Command | None:
    """Read a motor command by motor name, or None where it is not one."""
    if len(message.position) != len(message.name):
        return None
    by_name = dict(zip(message.name, message.position, strict=True))
    if any(name not in by_name for name in MOTOR_NAMES):
        return None
    values = np.array([by_name[name] for name in MOTOR_NAMES])
    stop = not np.isfinite(values).all()
    return Command("motors", np.zeros(4) if stop else np.clip(values, 0.0, 1.0), stop)


def thrust_rates_to_message(command: Command, stamp: int, frame: str) -> TwistStamped:
    """Write thrust and rates: linear.z in m/s^2 (NaN switches off), angular in rad/s FLU."""
    message = TwistStamped()
    message.header.stamp = ns_to_stamp(stamp)
    message.header.frame_id = frame
    thrust, *rates = command.values.tolist()
    message.twist.linear.z = float("nan") if command.stop else thrust
    message.twist.angular.x, message.twist.angular.y, message.twist.angular.z = rates
    return message


def thrust_rates_from_message(message: TwistStamped) -> Command:
    """Read thrust and rates; any number that is not finite switches the motors off."""
    angular = message.twist.angular
    values = np.array([message.twist.linear.z, angular.x, angular.y, angular.z])
    stop = not np.isfinite(values).all()
    return Command("thrust_rates", np.zeros(4) if stop else values, stop)


def spikes_to_message(spikes: Mapping[str, NDArray[np.bool_]]) -> UInt8MultiArray:
    """Write the spikes of all layers end to end; the layout names the layers and their sizes."""
    data = b"".join(layer.tobytes() for layer in spikes.values())
    return UInt8MultiArray(layout=_layout(spikes), data=list(data))


def membranes_to_message(membranes: Mapping[str, NDArray[np.float32]]) -> Float32MultiArray:
    """Write the membrane potentials of all layers end to end, with the layout of the spikes."""
    data = [float(value) for layer in membranes.values() for value in layer]
    return Float32MultiArray(layout=_layout(membranes), data=data)


def _layout(layers: Mapping[str, NDArray[np.generic]]) -> MultiArrayLayout:
    return MultiArrayLayout(
        dim=[
            MultiArrayDimension(label=name, size=len(layer), stride=len(layer))
            for name, layer in layers.items()
        ]
    )
