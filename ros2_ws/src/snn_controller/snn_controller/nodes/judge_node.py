"""The judge: records a flight, and says when it is over whether all was as it should be.

It only listens. Exit code 0 when every check has passed, 1 when one has not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from snn_controller.errors import UserError
from snn_controller.flight import JudgeSettings
from snn_controller.flight_log import MODES, split_rows, stamps_of
from snn_controller.judge import Account, Observations, judge, summary_lines, write_judgement
from snn_controller.nodes.controller.command_topics import MOTORS_TOPIC, THRUST_RATES_TOPIC
from snn_controller.nodes.recorder_node import RecorderNode
from snn_controller.nodes.ros.conversions import motors_from_message, thrust_rates_from_message
from snn_controller.nodes.ros.main import NodeClaim, run_node, steady_clock
from snn_controller.paths import check_writable
from snn_controller.vehicle import Reference, odometry_from_message, stamp_to_ns


class FlightObserver:
    """Knows the topics of a flight and keeps what they say."""

    def __init__(self, node: Node) -> None:
        """Look at topics by the names that they have for a node."""
        self.seen = Observations()
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
        self.seen.samples[odometry.stamp] = odometry.state

    def _on_motors(self, message: JointState) -> None:
        command = motors_from_message(message)
        if command is not None:
            self.seen.hear(stamp_to_ns(message.header.stamp), command)

    def _on_thrust_rates(self, message: TwistStamped) -> None:
        stamp = stamp_to_ns(message.header.stamp)
        self.seen.hear(stamp, thrust_rates_from_message(message))

    def _on_tick(self, message: Float64MultiArray) -> None:
        row = np.array(message.data)[None]
        dimensions = message.layout.dim
        names, sizes = [d.label for d in dimensions], [d.size for d in dimensions]
        columns = split_rows(row, names, sizes)
        reference = Reference(columns["reference_position"][0], columns["reference_velocity"][0])
        mode = MODES[int(columns["mode"][0])]
        self.seen.accounts.append(Account(int(stamps_of(columns)[0]), mode, reference))

    def _on_info(self, message: String) -> None:
        self.seen.info = json.loads(message.data)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": flight") and status.level == DiagnosticStatus.ERROR:
                reason = status.message.partition(": ")[2]
                self.seen.verdicts.append((stamp_to_ns(message.header.stamp), reason))


LOOK_PERIOD = 0.25  # s between looks at whether the flight is over


class JudgeNode(RecorderNode):
    """A recorder that reads what it records; ends with the flight, or when asked to."""

    def __init__(self) -> None:
        """Begin to listen.

        Raises:
            UserError: A parameter is wrong, or the files cannot be written.
        """
        super().__init__("judge", JudgeSettings)
        assert isinstance(self.settings, JudgeSettings)
        self._judging: JudgeSettings = self.settings
        if not self._judging.report:
            raise UserError("parameter 'report' is empty; give the folder of the verdict")
        check_writable(Path(self._judging.report))
        self._claim = NodeClaim(self)  # shows others that somebody listens
        self._observer = FlightObserver(self)
        self._began = self._heard = monotonic()
        self.create_timer(LOOK_PERIOD, self._look_for_the_end, clock=steady_clock())

    def destroy_node(self) -> None:
        """Leave the graph, and the name to others."""
        super().destroy_node()
        self._claim.release()

    def close(self, reason: str) -> None:
        """Judge what has been seen so far."""
        super().close(reason)
        if self.exit_code is not None:  # the disk is full: the bag is not whole
            return
        judgement = judge(self._observer.seen, self._judging)
        path = write_judgement(Path(self._judging.report), judgement, self._judging)
        print(*summary_lines(judgement), f"judgement: {path}", sep="\n", flush=True)
        self.exit_code = 0 if judgement.passed else 1

    def _take(self, topic: str, message_type: str, data: bytes) -> None:
        commands = len(self._observer.seen.commands)
        super()._take(topic, message_type, data)
        self._observer.take(topic, data)
        if len(self._observer.seen.commands) > commands:
            self._heard = monotonic()

    def _look_for_the_end(self) -> None:
        if self.exit_code is not None:
            return
        settings, now = self._judging, monotonic()
        flown = bool(self._observer.seen.commands)
        patience = settings.patience if flown else settings.startup_time
        if now - self._heard > patience:
            self.close(f"no command for {patience:g} s")
        elif now - self._began > settings.time_limit:
            self.close(f"the flight is not over after {settings.time_limit:g} s")


def main() -> None:
    """Run the judge node."""
    sys.exit(run_node(JudgeNode))


if __name__ == "__main__":
    main()
