"""Where a MAVLink vehicle is: UDP, TCP or serial, read and written without ever waiting."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from snn_controller.errors import UserError

FORMS = "udpin:HOST:PORT, udpout:HOST:PORT, tcp:HOST:PORT or serial:DEVICE:BAUD"
CONNECT_TIME = 3.0  # s, patience with a TCP server
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
    kind, _, rest = endpoint.partition(":")
    if kind == "serial" or endpoint.startswith("/dev/"):
        return _open_serial(rest if kind == "serial" else endpoint)
    if kind not in ("udpin", "udpout", "tcp"):
        raise UserError(f"endpoint '{endpoint}' is not of the form {FORMS}")
    host, port = _host_and_port(rest, endpoint)
    try:
        return TcpWire(host, port) if kind == "tcp" else UdpWire(host, port, bind=kind == "udpin")
    except OSError as error:
        mend = {
            "udpin": "give the address of this machine that the vehicle sends to, and a free port",
            "udpout": "check the host's name",
            "tcp": "check that the autopilot or its simulator listens there",
        }[kind]
        raise UserError(f"endpoint '{endpoint}' cannot be opened ({error}); {mend}") from error


def _host_and_port(rest: str, endpoint: str) -> tuple[str, int]:
    host, _, port = rest.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(
            f"endpoint '{endpoint}' needs a host and a port, as in udpin:127.0.0.1:14540"
        )
    return host, int(port)


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


class _Stream:
    """What TCP and serial share: one peer, and messages that may go out in parts."""

    datagrams = False
    bandwidth: float | None = None

    def __init__(self) -> None:
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

    def _receive(self, size: int) -> bytes:
        raise NotImplementedError

    def _transmit(self, data: bytes) -> int:
        raise NotImplementedError

    def _shut(self) -> None:
        raise NotImplementedError


class TcpWire(_Stream):
    """A connection to a server."""

    def __init__(self, host: str, port: int) -> None:
        """Connect, within `CONNECT_TIME`.

        Raises:
            OSError: Nobody listens there.
        """
        super().__init__()
        self._socket = socket.create_connection((host, port), timeout=CONNECT_TIME)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _receive(self, size: int) -> bytes:
        return self._socket.recv(size)

    def _transmit(self, data: bytes) -> int:
        return self._socket.send(data)

    def _shut(self) -> None:
        self._socket.close()


class SerialWire(_Stream):
    """A serial port, opened for us alone."""

    def __init__(self, device: str, baud: int, serial: Any) -> None:
        """Open the device with pyserial's module."""
        super().__init__()
        self.bandwidth: float | None = baud / 10.0  # eight bits, a start and a stop bit
        self._port = serial.Serial(device, baud, timeout=0, write_timeout=0, exclusive=True)

    def _receive(self, size: int) -> bytes:
        return self._port.read(size)

    def _transmit(self, data: bytes) -> int:
        return self._port.write(data) or 0

    def _shut(self) -> None:
        self._port.close()


def _open_serial(rest: str) -> SerialWire:
    device, _, baud = rest.rpartition(":")
    if not device or not baud.isdecimal() or int(baud) == 0:
        raise UserError(
            f"endpoint 'serial:{rest}' needs a device and a baud rate, as in"
            " serial:/dev/ttyACM0:921600"
        )
    if not Path(device).exists():
        raise UserError(
            f"serial port {device} does not exist; is the autopilot plugged in and powered?"
        )
    try:
        import serial
    except ImportError as error:
        raise UserError(
            f"serial endpoints need pyserial ({error}): pip install pyserial"
        ) from error
    try:
        return SerialWire(device, int(baud), serial)
    except (OSError, ValueError) as error:
        raise UserError(_serial_refusal(device, error)) from error


def _serial_refusal(device: str, error: Exception) -> str:
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == 13:
        return (
            f"no permission for serial port {device}: add yourself to its group"
            " (sudo usermod -aG dialout $USER), then log in again"
        )
    return (
        f"serial port {device} cannot be opened ({error}); close other programs that use it,"
        " and check the baud rate"
    )
