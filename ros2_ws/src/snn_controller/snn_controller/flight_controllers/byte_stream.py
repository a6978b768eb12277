"""Byte streams to a flight controller: TCP or a serial port, by one `endpoint` string.

`tcp:HOST:PORT`, or a serial port as `/dev/ttyACM0` or `/dev/ttyACM0:115200` (`COM3:115200`).
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Protocol

from snn_controller.errors import UserError
from snn_controller.flight_controllers.claim import claim_endpoint

DEFAULT_BAUD = 115200
CONNECT_TIME = 2.0  # s
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
    if endpoint.startswith("tcp:"):
        return _TcpStream(endpoint)
    if endpoint.startswith(("/", "COM", "serial:")):
        return _SerialStream(endpoint.removeprefix("serial:"))
    raise UserError(
        f"endpoint '{endpoint}' is neither tcp:HOST:PORT nor a serial port such as /dev/ttyACM0 or"
        " /dev/ttyACM0:115200; give one of these"
    )


class _TcpStream:
    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("tcp:").rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UserError(f"endpoint '{endpoint}' must be tcp:HOST:PORT, as tcp:127.0.0.1:5761")
        self._claim = claim_endpoint(endpoint)
        try:
            self._socket = socket.create_connection((host, int(port)), timeout=CONNECT_TIME)
        except OSError as error:
            self._claim.close()
            raise UserError(
                f"nobody answers at {endpoint} ({error}); start the flight controller or its"
                " bridge, or give another endpoint:="
            ) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

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
        self._socket.settimeout(CONNECT_TIME)
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()
        self._claim.close()


class _SerialStream:
    def __init__(self, endpoint: str) -> None:
        try:
            import serial
        except ImportError as error:
            raise UserError(
                f"serial port {endpoint} needs the package pyserial: pip install pyserial"
            ) from error
        port, separator, baud = endpoint.partition(":")
        if separator and (not baud.isdecimal() or int(baud) == 0):
            raise UserError(f"endpoint '{endpoint}' must be PORT or PORT:BAUD, as {port}:115200")
        self._serial: Any = None
        try:
            self._serial = serial.Serial(
                port,
                int(baud) if separator else DEFAULT_BAUD,
                timeout=0.0,
                write_timeout=CONNECT_TIME,
                exclusive=True,
            )
        except (OSError, ValueError) as error:
            raise UserError(_serial_trouble(port, error)) from error

    def read(self, timeout: float) -> bytes:
        self._serial.timeout = timeout
        first = self._serial.read(1)
        return first + self._serial.read(min(self._serial.in_waiting, MAX_READ))

    def write(self, data: bytes) -> None:
        self._serial.write(data)

    def close(self) -> None:
        self._serial.close()


def _serial_trouble(port: str, error: Exception) -> str:
    """Return the sentence for a serial port that cannot be opened."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return (
            f"serial port {port} does not exist; connect the flight controller, or give another"
            " endpoint:="
        )
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"no permission for serial port {port}; join the group that owns it (mostly"
            " 'sudo usermod -aG dialout $USER') and log in again"
        )
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return f"serial port {port} is used by another program; close it (the Configurator?)"
    return f"serial port {port} cannot be opened ({error}); check its name and its baud rate"
