"""Byte streams to a flight controller, read by a thread that may wait: TCP or a serial port."""

from __future__ import annotations

import socket
from typing import Any, Protocol

from snn_controller.errors import UserError
from snn_controller.flight_controllers.shared.endpoints import (
    connect_tcp,
    names_serial_port,
    names_tcp,
    open_serial_port,
    parse_serial_port,
)
from snn_controller.system import claim_endpoint

DEFAULT_BAUD = 115200
WRITE_TIME = 2.0  # s, patience with a peer that takes no bytes
MAX_READ = 4096  # bytes


class ByteStream(Protocol):
    """A connection that is read and written by one thread."""

    def read(self, timeout: float) -> bytes:
        """Return what has come, waiting at most `timeout` s for the first byte.

        Raises:
            OSError: The connection is lost.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send all bytes.

        Raises:
            OSError: The connection is lost.
        """
        ...

    def close(self) -> None:
        """Close the connection; closing twice does no harm."""
        ...


def open_stream(endpoint: str) -> ByteStream:
    """Open the stream that an endpoint names.

    Raises:
        UserError: The endpoint is malformed, or nobody is there, or we may not use it.
    """
    if names_tcp(endpoint):
        return _open_tcp(endpoint)
    if names_serial_port(endpoint):
        device, baud = parse_serial_port(endpoint, DEFAULT_BAUD)
        return _SerialStream(open_serial_port(device, baud, write_timeout=WRITE_TIME))
    raise UserError(
        f"endpoint '{endpoint}' is neither tcp:HOST:PORT nor a serial port such as /dev/ttyACM0 or"
        " /dev/ttyACM0:115200; give one of these"
    )


def _open_tcp(endpoint: str) -> _TcpStream:
    claim = claim_endpoint(endpoint)
    try:
        return _TcpStream(connect_tcp(endpoint), claim)
    except UserError:
        claim.close()
        raise


class _TcpStream:
    def __init__(self, connection: socket.socket, claim: socket.socket) -> None:
        self._socket, self._claim = connection, claim

    def read(self, timeout: float) -> bytes:
        self._socket.settimeout(max(timeout, 1e-4))
        try:
            data = self._socket.recv(MAX_READ)
        except TimeoutError:
            return b""
        if not data:
            raise ConnectionError("the other end closed the connection")
        return data

    def write(self, data: bytes) -> None:
        self._socket.settimeout(WRITE_TIME)
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()
        self._claim.close()


class _SerialStream:
    def __init__(self, port: Any) -> None:
        self._port = port

    def read(self, timeout: float) -> bytes:
        self._port.timeout = timeout
        first = self._port.read(1)
        return first + self._port.read(min(self._port.in_waiting, MAX_READ))

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def close(self) -> None:
        self._port.close()
