"""Topics from which a flight can be judged, replayed and learned from: every tick, and its facts.

The facts are kept for listeners that come late; ticks cost nothing while nobody listens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from time import sleep
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout, String

from snn_controller.flight import Flight
from snn_controller.flight_log import tick_fields, tick_row
from snn_controller.nodes.ros.qos import LOCKSTEP_HISTORY, Audience

TICK_TOPIC = "~/tick"
INFO_TOPIC = "~/flight_info"
ARRIVAL_TIME = Duration(seconds=0.5)  # patience with a listener that does not acknowledge


class TickTopic:
    """Publishes the facts of a flight when it begins, and every tick that its log has got."""

    def __init__(self, node: Node, listeners: int) -> None:
        """Create the publishers; wait for a number of listeners, who are to miss no tick."""
        self._node = node
        lasting = DurabilityPolicy.TRANSIENT_LOCAL
        self._info = node.create_publisher(
            String, INFO_TOPIC, QoSProfile(depth=1, durability=lasting)
        )
        self._ticks = node.create_publisher(
            Float64MultiArray, TICK_TOPIC, QoSProfile(depth=LOCKSTEP_HISTORY)
        )
        self._message = Float64MultiArray()
        self._layers: tuple[str, ...] = ()
        self._flights = self._sent = 0
        audience = Audience(self._ticks, listeners)
        while not audience.is_complete():
            sleep(0.01)

    def begin(self, info: Mapping[str, Any]) -> None:
        """Tell the facts of a flight that begins; `info` is fit for JSON."""
        self._flights += 1
        self._sent = 0
        self._layers = tuple(info["layers"])
        self._message.layout = _layout(self._layers)
        self._info.publish(String(data=json.dumps({**info, "flight": self._flights})))

    def tell(self, flight: Flight, *, latency: float = math.nan) -> None:
        """Publish the ticks that have not been published yet; `latency` in s is the last one's."""
        log = flight.log
        fresh, self._sent = log.count - self._sent, log.count
        if fresh <= 0 or self._ticks.get_subscription_count() == 0:
            return
        for back in range(min(fresh, len(log.ticks)), 0, -1):
            self._message.data = tick_row(
                log.ticks[-back],
                flight=self._flights,
                index=log.count - back,
                latency=latency if back == 1 else math.nan,
                layers=self._layers,
            )
            self._ticks.publish(self._message)

    def conclude(self, flight: Flight) -> None:
        """Publish what is left when a flight is over, and let it arrive."""
        self.tell(flight)
        self._ticks.wait_for_all_acked(ARRIVAL_TIME)

    def release(self) -> None:
        """Destroy the publishers."""
        self._node.destroy_publisher(self._ticks)
        self._node.destroy_publisher(self._info)


def _layout(layers: Sequence[str]) -> MultiArrayLayout:
    return MultiArrayLayout(
        dim=[
            MultiArrayDimension(label=name, size=size, stride=size)
            for name, size in tick_fields(layers)
        ]
    )
