"""The topics of PX4's uXRCE-DDS agent as a `Px4Bus`, with px4_msgs from the user's workspace."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from snn_controller.errors import UserError
from snn_controller.flight_controllers import LinkOptions
from snn_controller.flight_controllers.px4 import (
    FROM_VEHICLE,
    MEND,
    TO_VEHICLE,
    Px4Link,
    await_px4,
    missing_definition,
    topic_name,
)
from snn_controller.vehicle import ActionKind

MAX_CALLBACKS = 64  # in one `receive`, so that a flood cannot hold up the control loop


class Px4Topics:
    """Publishes and subscribes by a node of its own, spun only by `receive`."""

    def __init__(self, node: Node, prefix: str = "") -> None:
        """Join the topics below a namespace prefix, such as `px4_1`, in the node's context.

        Raises:
            UserError: px4_msgs is missing, or too old.
        """
        self._module = _import_px4_msgs()
        if reason := missing_definition(self):
            raise UserError(reason)
        self._prefix = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
        self._node = Node("px4_link", context=node.context)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._newest: dict[str, Any] = {}
        self._count = 0  # messages received
        self._publishers = {name: self._advertise(name) for name in TO_VEHICLE}
        for name in FROM_VEHICLE:
            self._subscribe(name)

    def publish(self, message: str, fields: Mapping[str, object]) -> None:
        """Send a message."""
        self._publishers[message].publish(getattr(self._module, message)(**fields))

    def receive(self) -> None:
        """Take in what has come."""
        for _ in range(MAX_CALLBACKS):
            before = self._count
            self._executor.spin_once(timeout_sec=0.0)
            if self._count == before:
                break

    def take(self, message: str) -> object | None:
        """Return the newest message of a type that was received since the last call."""
        return self._newest.pop(message, None)

    def fields(self, message: str) -> Mapping[str, str] | None:
        """Return the fields of a type with their ROS types."""
        kind = getattr(self._module, message, None)
        return None if kind is None else kind.get_fields_and_field_types()

    def version(self, message: str) -> int:
        """Return the type's MESSAGE_VERSION, which px4_msgs has since 1.16."""
        return int(getattr(getattr(self._module, message), "MESSAGE_VERSION", 0))

    def topics(self) -> Collection[str]:
        """Return the topics below our prefix."""
        names = (name for name, _ in self._node.get_topic_names_and_types())
        return [name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix)]

    def close(self) -> None:
        """Leave the topics; closing twice does no harm."""
        self._executor.remove_node(self._node)
        self._executor.shutdown()
        self._node.destroy_node()

    def _advertise(self, message: str) -> Any:
        topic = self._prefix + topic_name(TO_VEHICLE[message], self.version(message))
        return self._node.create_publisher(getattr(self._module, message), topic, _quality())

    def _subscribe(self, message: str) -> None:
        def keep(sample: Any) -> None:
            self._newest[message] = sample
            self._count += 1

        topic = self._prefix + topic_name(FROM_VEHICLE[message], self.version(message))
        quality = _quality(DurabilityPolicy.VOLATILE)
        self._node.create_subscription(getattr(self._module, message), topic, keep, quality)


def open_px4(node: Node, options: LinkOptions, kind: ActionKind) -> Px4Link:
    """Join PX4's topics and wait until it is heard and defines its messages as px4_msgs does.

    Raises:
        UserError: px4_msgs is missing or of another release, or PX4 is not heard.
    """
    bus = Px4Topics(node, options.endpoint)
    start = time.monotonic()
    try:
        await_px4(bus, elapsed=lambda: time.monotonic() - start, sleep=time.sleep)
    except BaseException:
        bus.close()
        raise
    return Px4Link(bus, options, kind)


def _import_px4_msgs() -> ModuleType:
    try:
        return import_module("px4_msgs.msg")
    except ImportError as error:
        raise UserError(
            f"link 'px4' needs the ROS package px4_msgs ({error}), which pip does not have: {MEND}"
        ) from error


def _quality(durability: DurabilityPolicy = DurabilityPolicy.TRANSIENT_LOCAL) -> QoSProfile:
    """Return what the agent's endpoints match: it writes and reads with best effort."""
    return QoSProfile(
        depth=1,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=durability,
    )
