"""The fields of a protobuf message, read from its bytes without knowing what they mean.

Enough of the format to look through a file before a library that was written for trusted ones
opens it. Nothing is copied; what cannot be read so is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; groups (3, 4) are long obsolete
_SIZES = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10  # bytes


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (number, value) of each field in order: an int for a varint, else the bytes.

    Raises:
        ValueError: The bytes are no message.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if kind == VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = _varint(message, place)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(f"a field has the wire type {kind}")
        if place + size > len(message):
            raise ValueError("a field is longer than what holds it")
        yield number, message[place : place + size]
        place += size


def varints(value: int | memoryview) -> list[int]:
    """Return a repeated integer's part: one number, or many that are packed into bytes.

    Raises:
        ValueError: The bytes are no varints.
    """
    if isinstance(value, int):
        return [value]
    numbers, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        numbers.append(number)
    return numbers


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    number = shift = 0
    for place in range(place, min(place + _LONGEST_VARINT, len(message))):  # noqa: B020
        byte = message[place]
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number & (2**64 - 1), place + 1
    raise ValueError("a number does not end")
