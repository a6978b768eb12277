"""A WebSocket server that Foxglove opens: serialised ROS messages with their definitions.

Nothing is taken from who watches: the server has no capability but telling.
"""

from __future__ import annotations

from typing import Any

from snn_controller.errors import UserError, quote
from snn_controller.flight import NO_FOXGLOVE, check_address
from snn_controller.flight_log import message_definition

EVERYWHERE = ("0.0.0.0", "::")  # all addresses of this machine
BACKLOG = 256  # messages that may wait for a slow watcher; the oldest are dropped


class FoxgloveServer:
    """One server with one channel a topic. Offer all topics, then serve.

    A watcher who subscribes in the instant in which a channel is made is refused by the SDK, and
    never hears of that topic.
    """

    def __init__(self) -> None:
        """Prepare a server that nobody can reach yet.

        Raises:
            UserError: The SDK is missing.
        """
        try:
            import foxglove
        except ImportError as error:
            raise UserError(NO_FOXGLOVE) from error
        self._foxglove: Any = foxglove
        self._context: Any = foxglove.Context()
        self._channels: dict[str, Any] = {}
        self._server: Any = None

    def offer(self, topic: str, message_type: str) -> None:
        """Make a topic known, before its first message."""
        self._channels[topic] = self._foxglove.Channel(
            topic,
            schema=self._foxglove.Schema(
                name=message_type, encoding="ros2msg", data=message_definition(message_type)
            ),
            message_encoding="cdr",
            context=self._context,
        )

    def serve(self, host: str, port: int, name: str) -> str:
        """Listen at an address, and return where to connect to.

        Raises:
            UserError: The port is taken or the address is not ours.
        """
        check_address(host, port)
        try:
            self._server = self._foxglove.start_server(
                name=name,
                host=host,
                port=port,
                context=self._context,
                message_backlog_size=BACKLOG,
            )
        except RuntimeError as error:  # the SDK's own
            raise UserError(
                f"Foxglove cannot be served at {host}:{port} ({quote(error)}); give another"
                " foxglove_port:=PORT"
            ) from error
        return f"ws://{'localhost' if host in EVERYWHERE else host}:{self._server.port}"

    def is_watched(self, topic: str) -> bool:
        """Whether anybody has asked for a topic."""
        return bool(self._channels[topic].has_sinks())

    def tell(self, topic: str, data: bytes, time: int) -> None:
        """Send a serialised message to who has asked for its topic; `time` is in ns."""
        self._channels[topic].log(data, log_time=time)

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.stop()
