"""What Foxglove does: subscribe to what is advertised, decode by the definition that came."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection
from contextlib import ExitStack
from time import monotonic
from typing import Any

from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

MESSAGE_HEAD = struct.Struct("<BIQ")  # operation, subscription, time in ns
PROTOCOL = "foxglove.sdk.v1"
TIMEOUT = 60.0  # s


class Watcher:
    """One connection that takes some topics; use it in a `with`."""

    def __init__(self, address: str, topics: Collection[str]) -> None:
        self.received: dict[str, list[Any]] = {topic: [] for topic in topics}
        self.capabilities: list[str] | None = None  # what the server lets its clients do
        self._stack = ExitStack()
        options: dict[str, Any] = {"subprotocols": [PROTOCOL], "max_size": None}
        self._socket = self._stack.enter_context(connect(address, **options))
        channels: dict[str, dict[str, Any]] = {}
        while not set(channels) >= set(topics):
            message = json.loads(self._socket.recv(timeout=TIMEOUT))
            self.capabilities = message.get("capabilities", self.capabilities)
            channels |= {channel["topic"]: channel for channel in message.get("channels", [])}
        self.channels = channels  # topic -> as advertised
        wanted = [channels[topic] for topic in sorted(topics)]
        self._decoders = [(channel["topic"], _decoder(channel)) for channel in wanted]
        words = [{"id": n, "channelId": channel["id"]} for n, channel in enumerate(wanted)]
        self._socket.send(json.dumps({"op": "subscribe", "subscriptions": words}))

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def watch(self, enough: Callable[[], bool] = lambda: False, seconds: float = TIMEOUT) -> bool:
        """Take messages until enough, or time is up, or the server gone; say if it is there."""
        deadline = monotonic() + seconds
        try:
            while not enough():
                self._take(self._socket.recv(timeout=max(deadline - monotonic(), 0.0)))
        except ConnectionClosed:
            return False
        except TimeoutError:
            pass
        return True

    def _take(self, message: Any) -> None:
        if isinstance(message, bytes):
            operation, number, _ = MESSAGE_HEAD.unpack_from(message)
            assert operation == 1
            topic, decode = self._decoders[number]
            self.received[topic].append(decode(message[MESSAGE_HEAD.size :]))


def _decoder(channel: dict[str, Any]) -> Callable[[bytes], Any]:
    assert (channel["encoding"], channel["schemaEncoding"]) == ("cdr", "ros2msg")
    definition = channel["schema"].encode()
    schema = Schema(id=1, name=channel["schemaName"], encoding="ros2msg", data=definition)
    decode = DecoderFactory().decoder_for("cdr", schema)
    assert decode is not None
    return decode
