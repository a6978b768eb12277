"""A WebSocket server that Foxglove opens: serialised ROS messages with their definitions.

Nothing is taken from who watches: the server has no capability but telling.
"""

from __future__ import annotations

from typing import Any

from snn_controller.errors import UserError, quote
from snn_controller.message_store import message_definition
from snn_controller.view_settings import NO_FOXGLOVE, check_address

BACKLOG = 256  # messages that may wait for a slow watcher; the oldest are dropped


class FoxgloveServer:
    """One server with one channel a topic."""

    def __init__(self, host: str, port: int, name: str) -> None:
        """Listen at an address.

        Raises:
            UserError: The SDK is missing, the port is taken or the address is not ours.
        """
        try:
            import foxglove
        except ImportError as error:
            raise UserError(NO_FOXGLOVE) from error
        check_address(host, port)
        self._foxglove: Any = foxglove
        self._context: Any = foxglove.Context()
        try:
            self._server: Any = foxglove.start_server(
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
        self._host = host
        self._channels: dict[str, Any] = {}

    @property
    def address(self) -> str:
        """Where to connect to."""
        return f"ws://{self._host}:{self._server.port}"

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

    def is_watched(self, topic: str) -> bool:
        """Whether anybody has asked for a topic."""
        return bool(self._channels[topic].has_sinks())

    def tell(self, topic: str, data: bytes, time: int) -> None:
        """Send a serialised message to who has asked for its topic; `time` is in ns."""
        self._channels[topic].log(data, log_time=time)

    def close(self) -> None:
        """Stop serving."""
        self._server.stop()
