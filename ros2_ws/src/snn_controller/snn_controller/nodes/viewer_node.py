"""The viewer: markers, path and plots of a running flight, for RViz and, by WebSocket, Foxglove.

It only listens, at a lower priority than the flight, and what it cannot keep up with it drops.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import Any

from geometry_msgs.msg import Vector3Stamped
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Float32MultiArray, Float64MultiArray, String
from visualization_msgs.msg import MarkerArray

from snn_controller.flight import ViewerSettings
from snn_controller.flight_log import TRANSFORMS_TYPE
from snn_controller.nodes.ros.conversions import TOPIC_TYPES, find_class
from snn_controller.nodes.ros.main import run_node, steady_clock
from snn_controller.nodes.ros.parameters import declare_settings
from snn_controller.nodes.viewer.foxglove import FoxgloveServer
from snn_controller.nodes.viewer.view import View

NICENESS = 10  # flight and recorder go first
TICK, INFO, MEMBRANES = (f"snn_controller/{x}" for x in ("tick", "flight_info", "membranes"))
TRANSFORM = "view/transform"
# What is made here, by its topic; transforms go to Foxglove only, RViz takes them from /tf.
VIEW_TOPICS: dict[str, Any] = {
    "view/markers": MarkerArray,
    "view/path": Path,
    "view/error": Vector3Stamped,
    "view/spike_rates": Float32MultiArray,
    "view/membranes": Float32MultiArray,
    "view/work": Float32MultiArray,
}
PATH_SHARE = 12  # a path is long, so it is sent every so many times only
FACTS_PERIOD = 0.5  # s between two tellings of what is flown


class ViewerNode(Node):
    """Shows one flight until it is ended."""

    def __init__(self) -> None:
        """Open the server, if asked for, and listen.

        Raises:
            UserError: A parameter is wrong, the SDK is missing or the port is taken.
        """
        super().__init__("viewer")
        self.exit_code: int | None = None
        self.settings = declare_settings(self, ViewerSettings)
        self.launcher_pid = self.settings.launcher_pid
        self._server = FoxgloveServer() if self.settings.foxglove else None
        self._view: View | None = None  # before the flight has told its facts
        self._tick: bytes | None = None  # the newest, until it is shown
        self._facts: bytes | None = None  # of the flight, said once by the controller
        self._looks = 0
        self._shown = 0
        self._outputs = {
            topic: self.create_publisher(kind, topic, 1) for topic, kind in VIEW_TOPICS.items()
        }
        if self._server is not None:
            for topic, kind in VIEW_TOPICS.items():
                self._server.offer(self.resolve_topic_name(topic), _type_name(kind))
            name = self.resolve_topic_name(TRANSFORM)
            self._server.offer(name, TRANSFORMS_TYPE)
        for topic, message_type in TOPIC_TYPES.items():
            self._listen(topic, message_type)
        self._serve()
        self.create_timer(1.0 / self.settings.view_rate, self._show, clock=steady_clock())

    def close(self, reason: str) -> None:
        """Show the last tick and stop serving."""
        self._show()
        self._tell_facts()
        if self._server is not None:
            self._server.close()

    def _serve(self) -> None:
        """Let watchers in, now that all topics are offered."""
        settings = self.settings
        if self._server is not None:
            host, port = settings.foxglove_host, settings.foxglove_port
            address = self._server.serve(host, port, "snn_controller")
            self.get_logger().info(f"Foxglove: open a connection to {address}")

    def _listen(self, topic: str, message_type: str) -> None:
        """Take a topic as raw bytes: whoever watches decodes them."""
        name = self.resolve_topic_name(topic)
        if self._server is not None:
            self._server.offer(name, message_type)
        lasting = topic == INFO  # said once, when the flight begins
        qos = QoSProfile(
            depth=10,
            reliability=ReliabilityPolicy.RELIABLE if lasting else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if lasting else DurabilityPolicy.VOLATILE,
        )
        take = partial(self._take, topic, name)
        kind = find_class(message_type)
        self.create_subscription(kind, name, take, qos, raw=True)

    def _take(self, topic: str, name: str, data: bytes) -> None:
        if topic == TICK:
            self._tick = data
        elif topic == INFO:
            self._facts = data
            self._view = View(json.loads(deserialize_message(data, String).data))
        elif topic == MEMBRANES and self._view is not None:
            message = deserialize_message(data, Float32MultiArray)
            self._view.take_membranes(message, self.settings.shown_membranes)
        if self._server is not None and self._server.is_watched(name):
            self._server.tell(name, data, self._now())

    def _tell_facts(self) -> None:
        """Tell the facts of the flight again and again, as the server says nothing of newcomers."""
        name = self.resolve_topic_name(INFO)
        if self._server is not None and self._facts is not None and self._server.is_watched(name):
            self._server.tell(name, self._facts, self._now())

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _show(self) -> None:
        """Show the newest tick, if there is one that has not been shown."""
        every = round(FACTS_PERIOD * self.settings.view_rate)
        self._looks += 1
        if self._looks % max(every, 1) == 0:
            self._tell_facts()
        data, view = self._tick, self._view
        if data is None or view is None:
            return
        self._tick = None
        self._shown += 1
        view.take_tick(deserialize_message(data, Float64MultiArray))
        self._send("view/markers", view.markers)
        self._send("view/error", view.error)
        self._send("view/spike_rates", view.spike_rates)
        self._send("view/membranes", view.membranes)
        self._send("view/work", view.work)
        if self._shown % PATH_SHARE == 0:
            self._send("view/path", view.path)
        name = self.resolve_topic_name(TRANSFORM)
        if self._server is not None and self._server.is_watched(name):
            self._server.tell(name, view.transform(), self._now())

    def _send(self, topic: str, make: Any) -> None:
        """Make a message and send it, if anybody wants it and there is something to say."""
        publisher, name = self._outputs[topic], self.resolve_topic_name(topic)
        heard = publisher.get_subscription_count() > 0
        watched = self._server is not None and self._server.is_watched(name)
        if not (heard or watched):
            return
        message = make()
        if message is None:
            return
        if heard:
            publisher.publish(message)
        if watched and self._server is not None:
            self._server.tell(name, serialize_message(message), self._now())


def _type_name(kind: Any) -> str:
    package, folder, *_ = kind.__module__.split(".")
    return f"{package}/{folder}/{kind.__name__}"


def main() -> None:
    """Run the viewer node."""
    os.nice(NICENESS)
    sys.exit(run_node(ViewerNode))


if __name__ == "__main__":
    main()
