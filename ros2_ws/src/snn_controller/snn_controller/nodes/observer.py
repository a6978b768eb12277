"""Reads the messages of a flight, as they are recorded, into evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from snn_controller.flight_log import MODES, split_rows, stamps_of
from snn_controller.judge import Account, Evidence
from snn_controller.nodes.controller.command_topics import MOTORS_TOPIC, THRUST_RATES_TOPIC
from snn_controller.nodes.ros.conversions import motors_from_message, thrust_rates_from_message
from snn_controller.vehicle import Reference, odometry_from_message, stamp_to_ns


class Witness:
    """Knows the topics of a flight and keeps what they say."""

    def __init__(self, node: Node) -> None:
        """Look at topics by the names that they have for a node."""
        self.evidence = Evidence()
        readers: dict[str, tuple[type, Callable[[Any], None]]] = {
            "odom": (Odometry, self._on_odometry),
            MOTORS_TOPIC: (JointState, self._on_motors),
            THRUST_RATES_TOPIC: (TwistStamped, self._on_thrust_rates),
            "snn_controller/tick": (Float64MultiArray, self._on_tick),
            "snn_controller/flight_info": (String, self._on_info),
            "/diagnostics": (DiagnosticArray, self._on_diagnostics),
        }
        self._readers = {node.resolve_topic_name(name): pair for name, pair in readers.items()}

    def take(self, topic: str, data: bytes) -> None:
        """Read one serialised message."""
        if topic in self._readers:
            message_class, read = self._readers[topic]
            read(deserialize_message(data, message_class))

    def _on_odometry(self, message: Odometry) -> None:
        odometry = odometry_from_message(message)
        self.evidence.samples[odometry.stamp] = odometry.state

    def _on_motors(self, message: JointState) -> None:
        command = motors_from_message(message)
        if command is not None:
            self.evidence.hear(stamp_to_ns(message.header.stamp), command)

    def _on_thrust_rates(self, message: TwistStamped) -> None:
        stamp = stamp_to_ns(message.header.stamp)
        self.evidence.hear(stamp, thrust_rates_from_message(message))

    def _on_tick(self, message: Float64MultiArray) -> None:
        row = np.array(message.data)[None]
        dimensions = message.layout.dim
        names, sizes = [d.label for d in dimensions], [d.size for d in dimensions]
        columns = split_rows(row, names, sizes)
        reference = Reference(columns["reference_position"][0], columns["reference_velocity"][0])
        mode = MODES[int(columns["mode"][0])]
        self.evidence.accounts.append(Account(int(stamps_of(columns)[0]), mode, reference))

    def _on_info(self, message: String) -> None:
        self.evidence.info = json.loads(message.data)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": flight") and status.level == DiagnosticStatus.ERROR:
                reason = status.message.partition(": ")[2]
                self.evidence.verdicts.append((stamp_to_ns(message.header.stamp), reason))
