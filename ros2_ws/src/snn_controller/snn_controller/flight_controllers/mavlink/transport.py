"""Wires to a MAVLink vehicle: UDP, TCP or serial, read and written without ever waiting."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from snn_controller.errors import UserError
from snn_controller.flight_controllers.shared.endpoints import (
    connect_tcp,
    names_serial_port,
    names_tcp,
    open_serial_port,
    parse_host_and_port,
    parse_serial_port,
)

FORMS = "udpin:HOST:PORT, udpout:HOST:PORT, tcp:HOST:PORT or serial:DEVICE:BAUD"
READ_LIMIT = 16384  # bytes a read takes, so that a flood cannot hold up the control loop
BACKLOG_LIMIT = 4096  # bytes that wait for a slow stream before newer messages are dropped


@dataclass(frozen=True)
class Chunk:
    """Bytes as they came, and from whom."""

    data: bytes
    sender: Any = None  # UDP address; None where there can be only one


class Wire(Protocol):
    """Carries bytes to and from a vehicle; no call waits, and a broken wire is silent."""

    datagrams: bool  # a message never spans two chunks
    bandwidth: float | None  # bytes/s, where it is known

    def read(self) -> list[Chunk]:
        """Return what has come, `READ_LIMIT` bytes at most or one datagram more."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes, or drop them where they cannot go out now."""
        ...

    def settle(self, sender: Any) -> None:
        """Talk to this sender from now on, and hear nobody else."""
        ...

    def close(self) -> None:
        """Let go of the wire; closing twice does no harm."""
        ...


def open_wire(endpoint: str) -> Wire:
    """Open an endpoint.

    Raises:
        UserError: It is malformed, in use, not permitted or not there.
    """
    if names_serial_port(endpoint):
        return _open_serial(endpoint)
    if names_tcp(endpoint):
        return _open_tcp(endpoint)
    if endpoint.startswith(("udpin:", "udpout:")):
        return _open_udp(endpoint)
    raise UserError(f"endpoint '{endpoint}' is not of the form {FORMS}")


def _open_udp(endpoint: str) -> UdpWire:
    host, port = parse_host_and_port(endpoint)
    bind = endpoint.startswith("udpin:")
    try:
        return UdpWire(host, port, bind=bind)
    except OSError as error:
        mend = (
            "give the address of this machine that the vehicle sends to, and a free port"
            if bind
            else "check the host's name"
        )
        raise UserError(f"endpoint '{endpoint}' cannot be opened ({error}); {mend}") from error


def _open_tcp(endpoint: str) -> StreamWire:
    connection = connect_tcp(endpoint)
    connection.setblocking(False)
    return StreamWire(connection.recv, connection.send, connection.close)


def _open_serial(endpoint: str) -> StreamWire:
    device, baud = parse_serial_port(endpoint)
    port = open_serial_port(device, baud, write_timeout=0.0)
    bandwidth = baud / 10.0  # eight bits, a start and a stop bit

    def transmit(data: bytes) -> int:
        return os.write(port.fileno(), data)  # pyserial's own write spins while there is no room

    return StreamWire(port.read, transmit, port.close, bandwidth=bandwidth)


class UdpWire:
    """A socket that is bound and waits for a vehicle, or one that calls it."""

    datagrams = True
    bandwidth: float | None = None

    def __init__(self, host: str, port: int, *, bind: bool) -> None:
        """Open the socket.

        Raises:
            OSError: The address is in use, not ours or unknown.
        """
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._peer: Any = None if bind else address
        try:
            if bind:
                self._socket.bind(address)
            else:
                self._socket.connect(address)  # the kernel then drops what others send
        except OSError:
            self._socket.close()
            raise
        self._connected = not bind

    def read(self) -> list[Chunk]:
        """Return the datagrams that have come from the vehicle, or from anybody at first."""
        chunks: list[Chunk] = []
        size = 0
        with suppress(OSError):  # nothing more to read, or nobody there (ICMP)
            while size < READ_LIMIT:
                data, sender = self._socket.recvfrom(4096)
                size += len(data) + 64  # so that empty datagrams count too
                if self._connected or self._peer is None or sender == self._peer:
                    chunks.append(Chunk(data, sender))
        return chunks

    def write(self, data: bytes) -> None:
        """Send to the vehicle, once it is known."""
        if self._peer is not None:
            with suppress(OSError):
                if self._connected:
                    self._socket.send(data)
                else:
                    self._socket.sendto(data, self._peer)

    def settle(self, sender: Any) -> None:
        """Talk to this sender only."""
        if not self._connected:
            self._peer = sender

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class StreamWire:
    """A TCP connection or a serial port: one peer, and messages that may go out in parts."""

    datagrams = False

    def __init__(
        self,
        receive: Callable[[int], bytes],
        transmit: Callable[[bytes], int],
        shut: Callable[[], None],
        *,
        bandwidth: float | None = None,
    ) -> None:
        """Speak over a device that is open; its calls do not wait and may raise OSError.

        Args:
            receive: Returns the bytes that have come, so many at most.
            transmit: Sends bytes, and returns how many of them have gone out.
            shut: Closes the device.
            bandwidth: Bytes/s, where it is known.
        """
        self.bandwidth = bandwidth
        self._receive, self._transmit, self._shut = receive, transmit, shut
        self._backlog = b""
        self._closed = False

    def read(self) -> list[Chunk]:
        """Return the bytes that have come."""
        data = b""
        if not self._closed:
            with suppress(OSError):  # nothing there, unplugged, or hung up
                data = self._receive(READ_LIMIT)
        return [Chunk(data)] if data else []

    def write(self, data: bytes) -> None:
        """Send bytes after those that still wait; drop the whole message if too many do."""
        if self._closed:
            return
        if len(self._backlog) + len(data) <= BACKLOG_LIMIT:
            self._backlog += data
        with suppress(OSError):
            self._backlog = self._backlog[self._transmit(self._backlog) :]

    def settle(self, sender: Any) -> None:
        """Nothing to do: there is one peer only."""

    def close(self) -> None:
        """Close the device."""
        self._closed = True
        with suppress(OSError):
            self._shut()
