"""Tables of contents, parameters and log blocks of the Crazyflie double, frame by frame."""

from __future__ import annotations

import errno
import struct

import pytest

from snn_sim.doubles.crazyflie.crtp import LOG, PARAM, LogBlocks, Parameters, frame

VALUES = {"a.byte": 200.0, "a.word": -3.0, "b.real": 1.5}


def blocks() -> LogBlocks:
    return LogBlocks({"a.byte": 1, "a.word": 5, "b.real": 7}, VALUES.__getitem__)


def test_a_table_of_contents_is_told_item_by_item() -> None:
    logs = blocks()
    (info,) = logs.receive(0, b"\x03")
    assert struct.unpack_from("<BBH", info) == (LOG << 4 | 12, 3, 3)
    (item,) = logs.receive(0, struct.pack("<BH", 2, 1))
    assert item[1:] == b"\x02\x01\x00\x05a\0word\0"
    assert logs.receive(0, struct.pack("<BH", 2, 9)) == [frame(LOG, 0, b"\x02")]


def test_a_block_streams_what_it_was_created_with() -> None:
    logs = blocks()
    create = struct.pack("<BB", 6, 4) + b"".join(
        struct.pack("<BH", kind, i) for i, kind in enumerate((1, 5, 8))
    )
    assert logs.receive(1, create) == [frame(LOG, 1, bytes([6, 4, 0]))]
    assert logs.due(0) == []  # not started
    assert logs.receive(1, bytes([3, 4, 2]))[0][-1] == 0
    (first,) = logs.due(0x1234)
    assert first[1:5] == bytes([4, 0x34, 0x12, 0])
    assert struct.unpack("<Bhe", first[5:]) == (200, -3, 1.5)
    times = [now for now in range(0x1236, 0x1236 + 100, 2) if logs.due(now)]
    assert len(times) == 5


@pytest.mark.parametrize(
    ("payload", "result"),
    [
        (bytes([3, 9, 1]), errno.ENOENT),
        (bytes([7, 9]), errno.ENOENT),
        (bytes([6, 1]) + struct.pack("<BH", 7, 77), errno.ENOENT),
        (bytes([6, 1]) + struct.pack("<BH", 7, 2) * 7, errno.E2BIG),
        (bytes([9, 1]), errno.ENOENT),
    ],
)
def test_impossible_requests_are_answered_by_an_error(payload: bytes, result: int) -> None:
    assert blocks().receive(1, payload)[0][-1] == result


def test_parameters_are_read_and_written() -> None:
    parameters = Parameters({"g.byte": ("B", 1), "g.real": ("f", 2.5)})
    assert parameters.receive(1, b"\x00\x00") == [frame(PARAM, 1, b"\0\0\0\1")]
    assert parameters.receive(2, b"\x00\x00\x07") == [frame(PARAM, 2, b"\x00\x00\x07")]
    assert parameters.values["g.byte"] == 7
    assert parameters.receive(2, b"\x00\x00\x07\x07") == []  # of another size
    assert parameters.receive(1, b"\x05\x00") == [frame(PARAM, 1, b"\x05\x00\x02")]
    (item,) = parameters.receive(0, struct.pack("<BH", 2, 1))
    assert item[1:] == b"\x02\x01\x00\x06g\0real\0"
