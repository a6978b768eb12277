"""Types of the topics that recorder and viewer listen to before anybody publishes them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

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
