"""The recorder: writes topics as they come into an MCAP bag, without decoding them.

Log times are those of the node's clock, so with `use_sim_time` they are times of the flight.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from snn_controller.errors import UserError
from snn_controller.flight import RecorderSettings
from snn_controller.flight_log import DEFAULT_DISTRIBUTION, Bag
from snn_controller.nodes.ros.conversions import TOPIC_TYPES, find_class
from snn_controller.nodes.ros.main import run_node, steady_clock
from snn_controller.nodes.ros.parameters import declare_settings

# Said once for all who listen then or later, so listened to as such from the start.
LASTING = ("snn_controller/flight_info",)
ALWAYS_RELIABLE = ("snn_controller/tick", *LASTING)  # a flight is replayed from these
LOOK_PERIOD = 0.25  # s between looks at the graph and at the free space
QUEUE = 1000  # messages that may wait while the disk is slow
NICENESS = 5  # the flight goes first
EXIT_STOPPED = 1
_MIB = 2**20


@dataclass(frozen=True)
class _Tap:
    """One topic that is being recorded."""

    message_type: str
    qos: QoSProfile
    subscription: Subscription


class RecorderNode(Node):
    """Records until it is ended or the disk is full."""

    def __init__(
        self, name: str = "recorder", settings_type: type[RecorderSettings] = RecorderSettings
    ) -> None:
        """Open the bag and listen to every topic whose type is known.

        Args:
            name: Name of the node.
            settings_type: What it declares as parameters.

        Raises:
            UserError: A parameter is wrong or the bag cannot be opened.
        """
        super().__init__(name)
        self.exit_code: int | None = None
        self.settings = declare_settings(self, settings_type)
        self.launcher_pid = self.settings.launcher_pid
        if not self.settings.folder:
            raise UserError("parameter 'folder' is empty; give the folder of the bag to write")
        self._folder = Path(self.settings.folder)
        self._bag = Bag(self._folder, os.environ.get("ROS_DISTRO", DEFAULT_DISTRIBUTION))
        self._taps: dict[str, _Tap] = {}
        self._refused: set[str] = set()
        self._waiting: list[tuple[str, str, bytes]] = []
        self._types = {self.resolve_topic_name(name): kind for name, kind in TOPIC_TYPES.items()}
        self._lasting = {self.resolve_topic_name(name) for name in LASTING}
        self._reliable = {self.resolve_topic_name(name) for name in ALWAYS_RELIABLE}
        self._topics = [self.resolve_topic_name(name) for name in self.settings.topics]
        self._look()
        self.create_timer(LOOK_PERIOD, self._look, clock=steady_clock())

    def close(self, reason: str) -> None:
        """Write what has arrived and close the bag, so that it has its index."""
        for topic in list(self._taps):
            self._drain(topic)
        self._write_waiting(self.get_clock().now().nanoseconds)
        if self.exit_code is not None:
            return
        try:
            self._bag.close()
        except OSError as error:
            self._give_up(f"the bag could not be closed ({error.strerror or error})")
            return
        self.get_logger().info(f"{self._bag.messages} messages in {self._folder} ({reason})")

    def _look(self) -> None:
        """Listen to topics that have appeared, and stop while there is still room for an index."""
        if self.exit_code is not None:
            return
        free = shutil.disk_usage(self._folder).free / _MIB
        if free < self.settings.reserve_mib:
            self._give_up(f"only {free:.0f} MiB are free")
            return
        if any(topic not in self._types for topic in self._topics):
            published = dict(self.get_topic_names_and_types())
            self._types = {k: v[0] for k, v in published.items()} | self._types
        for topic in self._topics:
            if topic in self._types and topic not in self._refused:
                self._listen(topic, self._types[topic])

    def _listen(self, topic: str, message_type: str) -> None:
        """Subscribe to a topic, or again where its publishers offer another quality of service."""
        qos = self._qos(topic)
        tap = self._taps.get(topic)
        if tap is not None and tap.qos == qos:
            return
        message_class = find_class(message_type)
        if message_class is None or not self._bag.knows(message_type):
            self._refused.add(topic)
            self.get_logger().warning(
                f"{topic} is not recorded: messages of type {message_type} are unknown here;"
                " install the package that defines them, or use ros2 bag record"
            )
            return
        if tap is not None:
            self._drain(topic)
            self.destroy_subscription(tap.subscription)
        take = partial(self._take, topic, message_type)
        subscription = self.create_subscription(message_class, topic, take, qos, raw=True)
        self._taps[topic] = _Tap(message_type, qos, subscription)

    def _qos(self, topic: str) -> QoSProfile:
        """Return the strictest quality of service that every publisher of a topic can meet."""
        offers = [x.qos_profile for x in self.get_publishers_info_by_topic(topic)]
        wanted = self.settings.reliable or topic in self._reliable
        reliable = wanted and all(
            offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers
        )
        lasting = (bool(offers) or topic in self._lasting) and all(
            offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers
        )
        return QoSProfile(
            depth=QUEUE,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=(DurabilityPolicy.TRANSIENT_LOCAL if lasting else DurabilityPolicy.VOLATILE),
        )

    def _take(self, topic: str, message_type: str, data: bytes) -> None:
        if self.exit_code is not None:
            return
        self._waiting.append((topic, message_type, data))
        now = self.get_clock().now().nanoseconds
        if now > 0:  # simulated time is unknown before the first /clock
            self._write_waiting(now)

    def _write_waiting(self, now: int) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            for topic, message_type, data in waiting:
                self._bag.write(topic, message_type, now, data)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _drain(self, topic: str) -> None:
        """Write what waits in a subscription's queue, which no executor serves any more."""
        tap = self._taps[topic]
        handle, message_class = tap.subscription.handle, tap.subscription.msg_type
        with handle:
            while (taken := handle.take_message(message_class, True)) is not None:
                self._take(topic, tap.message_type, taken[0])

    def _give_up(self, why: str) -> None:
        """Say once why recording has stopped, keep what is written, and end."""
        if self.exit_code is not None:
            return
        self.exit_code = EXIT_STOPPED
        self.get_logger().error(
            f"recording has stopped: {why}; free some space on the disk of {self._folder}."
            f" The {self._bag.messages} messages before are kept"
        )
        try:
            self._bag.close()
        except OSError:
            self.get_logger().error("the bag has no index; run: mcap recover")


def main() -> None:
    """Run the recorder node."""
    os.nice(NICENESS)
    sys.exit(run_node(RecorderNode))


if __name__ == "__main__":
    main()
