"""MultiWii Serial Protocol, version 1: frames to bytes and back. Pure; knows no message.

A frame is `$M`, a direction, the payload's length, the command, the payload, and the exclusive or
of the bytes from the length on. The flight controller answers every request once.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import xor
from time import monotonic
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


PREAMBLE = b"$M"
REQUEST, ANSWER, REFUSAL = b"<", b">", b"!"
MAX_PAYLOAD = 254  # 255 announces a longer format, which nothing here asks for
_OVERHEAD = 6  # bytes of a frame besides its payload


@dataclass(frozen=True)
class Frame:
    """One decoded frame that came from a flight controller."""

    command: int
    payload: bytes
    refused: bool = False  # the flight controller does not know or does not do this


def encode(command: int, payload: bytes = b"") -> bytes:
    """Return the request that asks for a command.

    Raises:
        UserError: The command or the payload does not fit into a frame.
    """
    if not 0 <= command <= 255 or len(payload) > MAX_PAYLOAD:
        raise UserError(
            f"MSP command {command} with {len(payload)} bytes does not fit into a frame; commands"
            f" are 0 to 255 and payloads at most {MAX_PAYLOAD} bytes"
        )
    body = bytes([len(payload), command]) + payload
    return PREAMBLE + REQUEST + body + bytes([checksum(body)])


def checksum(body: bytes) -> int:
    """Return the exclusive or of all bytes."""
    return reduce(xor, body, 0)


class Decoder:
    """Finds frames in a stream of bytes; whatever is no frame is skipped and counted."""

    def __init__(self) -> None:
        """Start with an empty stream."""
        self._buffer = bytearray()
        self.skipped = 0  # bytes that belonged to no valid frame

    def feed(self, data: bytes) -> list[Frame]:
        """Take in bytes and return the frames that they complete, oldest first."""
        self._buffer += data
        frames = []
        while (size := self._next_size()) > 0:
            frame = self._take(size)
            if frame is not None:
                frames.append(frame)
        return frames

    def restart(self) -> None:
        """Give up a frame that is not complete, as its length may be wrong."""
        if self._buffer:
            self._skip(1)

    def _next_size(self) -> int:
        """Move to the next possible start; return its frame's size once it is all there, else 0."""
        while True:
            start = self._buffer.find(PREAMBLE)
            if start < 0:  # keep a last byte that may be the first of a preamble
                start = len(self._buffer) - self._buffer.endswith(PREAMBLE[:1])
            self._skip(start)
            if len(self._buffer) < _OVERHEAD:
                return 0
            size = self._buffer[3] + _OVERHEAD
            if self._buffer[2:3] in (ANSWER, REFUSAL) and self._buffer[3] <= MAX_PAYLOAD:
                return size if len(self._buffer) >= size else 0
            self._skip(1)

    def _take(self, size: int) -> Frame | None:
        """Return the frame at the start of the buffer, or skip a byte where it is damaged."""
        body, expected = bytes(self._buffer[3 : size - 1]), self._buffer[size - 1]
        if checksum(body) != expected:
            self._skip(1)
            return None
        refused = self._buffer[2:3] == REFUSAL
        del self._buffer[:size]
        return Frame(body[1], body[2:], refused)

    def _skip(self, count: int) -> None:
        del self._buffer[:count]
        self.skipped += count


ANSWER_TIME = 0.5  # s, patience with one answer while setting up
ATTEMPTS = 6  # of a question while setting up
# A damaged length makes the firmware wait for up to 255 bytes more, and swallow requests as such.
# Zeros end that wait; between frames they mean nothing.
FLUSH = bytes(256)


class MspClient:
    """Asks one flight controller; used by one thread at a time."""

    def __init__(self, stream: ByteStream, endpoint: str) -> None:
        """Talk over an open stream, named by its endpoint in messages."""
        self.endpoint = endpoint
        self._stream = stream
        self._decoder = Decoder()
        self._unanswered = 0  # requests in a row

    def exchange(self, command: int, payload: bytes = b"", *, timeout: float) -> Iterator[Frame]:
        """Send a request and yield what comes, until its answer or for `timeout` s.

        Raises:
            OSError: The connection is lost.
        """
        if self._unanswered:
            self._decoder.restart()
        flush = FLUSH if self._unanswered > 1 else b""
        self._unanswered += 1
        self._stream.write(flush + encode(command, payload))
        deadline = monotonic() + timeout
        while (left := deadline - monotonic()) > 0.0:
            for frame in self._decoder.feed(self._stream.read(left)):
                self._unanswered = 0
                yield frame
                if frame.command == command:
                    return

    def ask(self, command: int, payload: bytes = b"") -> bytes:
        """Return the answer's payload, asking again where one gets lost.

        Raises:
            UserError: Nobody answers, or the flight controller does not know the command.
        """
        for _ in range(ATTEMPTS):
            frame = self._answer(command, payload)
            if frame is not None and frame.refused:
                raise UserError(
                    f"the flight controller at {self.endpoint} refuses MSP command {command};"
                    " update its firmware to Betaflight 4.3 or newer"
                )
            if frame is not None:
                return frame.payload
        raise UserError(
            f"nobody answers MSP at {self.endpoint}; check the port and its baud rate, that MSP is"
            " on for it in the Configurator's Ports tab, and that no Configurator is connected"
        )

    def _answer(self, command: int, payload: bytes) -> Frame | None:
        try:
            frames = list(self.exchange(command, payload, timeout=ANSWER_TIME))
        except OSError as error:
            raise UserError(
                f"the connection to {self.endpoint} is lost ({error}); check the cable or start"
                " the flight controller again"
            ) from error
        return frames[-1] if frames and frames[-1].command == command else None

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
