"""The tables of a Crazyflie's firmware behind CRTP: parameters, log variables and log blocks.

Frames as on the wire: one byte of port and channel, then up to 30 bytes. Requests that firmware
would not understand have no answer, and nothing here raises on them.
"""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

CONSOLE, PARAM, COMMANDER, MEMORY, LOG, LOCATION, GENERIC, SUPERVISOR, PLATFORM, LINK = (
    *(0, 2, 3, 4, 5, 6, 7, 9),
    *(13, 15),
)
MAX_BLOCKS = 16
MAX_BLOCK_BYTES = 26
# type in the table of contents -> struct format
LOG_TYPES = {1: "B", 2: "H", 3: "I", 4: "b", 5: "h", 6: "i", 7: "f", 8: "e"}
PARAM_TYPES = {"B": 0x08, "H": 0x09, "I": 0x0A, "f": 0x06}


def frame(port: int, channel: int, payload: bytes) -> bytes:
    """Return a frame as firmware sends it."""
    return bytes([port << 4 | 3 << 2 | channel]) + payload


def table_item(index: int, kind: int, name: str) -> bytes:
    """Return the answer that describes one entry of a table of contents."""
    group, _, variable = name.partition(".")
    text = f"{group}\0{variable}\0".encode("ascii")
    return struct.pack("<BHB", 2, index, kind) + text


def answer_table(port: int, payload: bytes, kinds: list[tuple[int, str]]) -> list[bytes]:
    """Answer a request about a table of contents with entries (type, name)."""
    if payload[:1] == b"\x03":
        checksum = zlib.crc32(repr(kinds).encode())
        extra = bytes([MAX_BLOCKS, 128]) if port == LOG else b""
        return [frame(port, 0, struct.pack("<BHI", 3, len(kinds), checksum) + extra)]
    if payload[:1] == b"\x02" and len(payload) >= 3:
        (index,) = struct.unpack_from("<H", payload, 1)
        if index < len(kinds):
            return [frame(port, 0, table_item(index, *kinds[index]))]
        return [frame(port, 0, b"\x02")]
    return []


class Parameters:
    """Parameters of 8, 16, 32 bits or floats, by name."""

    def __init__(self, values: Mapping[str, tuple[str, float]]) -> None:
        """Take (struct format, value) by name."""
        self._names = list(values)
        self._formats = {name: kind for name, (kind, _) in values.items()}
        self.values = {name: value for name, (_, value) in values.items()}

    def receive(self, channel: int, payload: bytes) -> list[bytes]:
        """Answer one request."""
        if channel == 0:
            kinds = [(PARAM_TYPES[self._formats[name]], name) for name in self._names]
            return answer_table(PARAM, payload, kinds)
        if channel not in (1, 2) or len(payload) < 2:
            return []
        (index,) = struct.unpack_from("<H", payload)
        if index >= len(self._names):
            return [frame(PARAM, channel, payload[:2] + bytes([errno.ENOENT]))]
        name = self._names[index]
        kind = "<" + self._formats[name]
        if channel == 1:
            return [frame(PARAM, 1, payload[:2] + b"\0" + struct.pack(kind, self.values[name]))]
        if len(payload) != 2 + struct.calcsize(kind):
            return []
        (self.values[name],) = struct.unpack_from(kind, payload, 2)
        return [frame(PARAM, 2, payload)]


@dataclass
class _Block:
    variables: list[tuple[str, int]] = field(default_factory=list)  # name, index of the variable
    period: int = 0  # ms, 0 while stopped
    due: int = 0  # ms


class LogBlocks:
    """Log variables, and the blocks of them that a client has asked for."""

    def __init__(self, variables: Mapping[str, int], read: Callable[[str], float]) -> None:
        """Offer variables, types by name, whose values come from `read`."""
        self._names = list(variables)
        self._kinds = [(kind, name) for name, kind in variables.items()]
        self._read = read
        self._blocks: dict[int, _Block] = {}

    def receive(self, channel: int, payload: bytes) -> list[bytes]:
        """Answer one request."""
        if channel == 0:
            return answer_table(LOG, payload, self._kinds)
        if channel != 1 or not payload:
            return []
        command, number = payload[0], payload[1] if len(payload) > 1 else 0
        result = self._control(command, number, payload[2:])
        return [frame(LOG, 1, bytes([command, number, result]))]

    def _control(self, command: int, number: int, rest: bytes) -> int:
        if command == 5:
            self._blocks.clear()
            return 0
        if command == 6:
            if number in self._blocks:
                return errno.EEXIST
            if len(self._blocks) >= MAX_BLOCKS:
                return errno.ENOMEM
            self._blocks[number] = _Block()
            return self._append(number, rest)
        if number not in self._blocks:
            return errno.ENOENT
        if command == 7:
            return self._append(number, rest)
        if command == 3 and rest:
            self._blocks[number].period = 10 * rest[0]
        elif command == 4:
            self._blocks[number].period = 0
        elif command == 2:
            del self._blocks[number]
        else:
            return errno.ENOEXEC
        return 0

    def _append(self, number: int, rest: bytes) -> int:
        variables = self._blocks[number].variables
        for kind, index in struct.iter_unpack("<BH", rest[: len(rest) // 3 * 3]):
            code = LOG_TYPES.get(kind & 0x0F)
            if code is None or index >= len(self._names):
                return errno.ENOENT
            if struct.calcsize("<" + "".join(c for c, _ in variables) + code) > MAX_BLOCK_BYTES:
                return errno.E2BIG
            variables.append((code, index))
        return 0

    def due(self, now: int) -> list[bytes]:
        """Return the frames of the blocks whose time has come at `now` ms."""
        frames = []
        for number, block in self._blocks.items():
            if block.period == 0 or now < block.due or not block.variables:
                continue
            late = now - block.due >= block.period  # or has only just been started
            block.due = (now if late else block.due) + block.period
            kind = "<" + "".join(code for code, _ in block.variables)
            values = [self._value(code, index) for code, index in block.variables]
            stamp = struct.pack("<I", now & 0xFFFFFF)[:3]
            frames.append(frame(LOG, 2, bytes([number]) + stamp + struct.pack(kind, *values)))
        return frames

    def _value(self, code: str, index: int) -> float:
        value = self._read(self._names[index])
        if code in "fe":
            return min(max(value, -65504.0), 65504.0) if code == "e" else value
        bits = 8 * struct.calcsize("<" + code)
        whole = int(value) & ((1 << bits) - 1)
        return whole - (1 << bits) if code.islower() and whole >> (bits - 1) else whole
