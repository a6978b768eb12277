from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight.msp import (
    MAX_PAYLOAD,
    Decoder,
    Frame,
    checksum,
    encode,
)

DAMAGED_FRAMES = 100_000


def answer(command: int, payload: bytes, *, refused: bool = False) -> bytes:
    body = bytes([len(payload), command]) + payload
    return b"$M" + (b"!" if refused else b">") + body + bytes([checksum(body)])


def test_a_request_is_what_the_protocol_says() -> None:
    assert encode(150) == bytes([0x24, 0x4D, 0x3C, 0, 150, 150])
    assert encode(1, b"\x02\x03") == b"$M<\x02\x01\x02\x03\x02"


@pytest.mark.parametrize(("command", "size"), [(-1, 0), (256, 0), (1, MAX_PAYLOAD + 1)])
def test_what_does_not_fit_into_a_frame_is_refused(command: int, size: int) -> None:
    with pytest.raises(UserError, match="does not fit"):
        encode(command, bytes(size))


@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.binary(max_size=MAX_PAYLOAD), st.booleans()), max_size=5
    ),
    st.integers(1, 40),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    frames: list[tuple[int, bytes, bool]], piece: int
) -> None:
    stream = b"".join(answer(command, payload, refused=no) for command, payload, no in frames)
    decoder = Decoder()
    found = [
        frame
        for start in range(0, len(stream), piece)
        for frame in decoder.feed(stream[start : start + piece])
    ]
    assert found == [Frame(command, payload, no) for command, payload, no in frames]
    assert decoder.skipped == 0


@given(st.binary(max_size=600))
def test_garbage_is_skipped_and_the_next_frame_found(garbage: bytes) -> None:
    decoder = Decoder()
    decoder.feed(garbage)
    # an announced frame may swallow what follows, but never more than the longest one
    for _ in range(60):
        if decoder.feed(answer(150, b"good")) == [Frame(150, b"good")]:
            break
    assert decoder.feed(answer(150, b"good")) == [Frame(150, b"good")]


def test_a_damaged_byte_costs_its_frame_only() -> None:
    whole = answer(105, bytes(range(16)))
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        decoder = Decoder()
        found = decoder.feed(bytes(damaged) + answer(1, b"x") * 60)
        assert Frame(105, bytes(range(16))) not in found
        assert found[-1] == Frame(1, b"x")


def test_a_hundred_thousand_damaged_frames_do_no_harm() -> None:
    """About 2 s: a byte changed, lost or added, or a frame cut off, each in one long stream."""
    source = random.Random(7)
    decoder, believed = Decoder(), 0
    for number in range(DAMAGED_FRAMES):
        payload = source.randbytes(source.randrange(24))
        stream = bytearray(answer(number % 256, payload))
        place = source.randrange(len(stream))
        kind = number % 4
        if kind == 0:
            stream[place] ^= 1 << source.randrange(8)
        elif kind == 1:
            del stream[place]
        elif kind == 2:
            stream.insert(place, source.randrange(256))
        else:
            del stream[place:]
        found = decoder.feed(bytes(stream))
        believed += sum(frame == Frame(number % 256, payload) for frame in found)
        assert len(decoder._buffer) < MAX_PAYLOAD + 6
    # a byte that is added before or after a frame leaves it whole; little else may get through
    assert believed < DAMAGED_FRAMES * 0.05
    assert decoder.skipped > DAMAGED_FRAMES
