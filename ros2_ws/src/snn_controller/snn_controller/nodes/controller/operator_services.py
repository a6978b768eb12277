"""What an operator may ask of a flight, as services that say why when they refuse."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from std_srvs.srv import Trigger

from snn_controller.safety import Event

SERVICES = {
    "arm": Event.ARM,
    "disarm": Event.DISARM,
    "takeoff": Event.TAKE_OFF,
    "land": Event.LAND,
    "kill": Event.KILL,
    "pilot_takeover": Event.HAND_OVER,
}


class OperatorServices:
    """Services under the node's own name, from the first activation until `release`."""

    def __init__(self, node: Node, ask: Callable[[Event], str | None]) -> None:
        """Offer the services.

        Args:
            node: The node that offers them.
            ask: Does what an event asks for, or returns the sentence that refuses it.
        """
        self._node = node
        self._ask = ask
        self._services: list[Any] = [
            node.create_service(Trigger, f"~/{name}", partial(self._answer, event))
            for name, event in SERVICES.items()
        ]

    def release(self) -> None:
        """Offer nothing any more."""
        for service in self._services:
            self._node.destroy_service(service)
        self._services.clear()

    def _answer(
        self, event: Event, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        reason = self._ask(event)
        response.success = reason is None
        response.message = reason or f"'{event.value}' is done"
        if reason is not None:
            self._node.get_logger().warning(reason)
        return response
