"""100,000 damaged frames: nothing raises, nothing is asked of the vehicle, nothing moves.

Takes 30 s: every frame goes through pymavlink's parser.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("pymavlink")

from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.mavlink.codec import Codec, command, setpoint
from snn_controller.flight_controllers.mavlink.link import MavlinkLink
from snn_controller.flight_controllers.mavlink.transport import Chunk
from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.vehicle.action import stop_command
from snn_sim.doubles.px4 import mavlink_vehicle as telemetry
from snn_sim.doubles.px4.firmware import Px4Mode
from snn_sim.doubles.px4.lockstep import Lockstep, MemoryWire

ASKED_WITHOUT_WISH = {  # what a link that nobody has armed may send
    common.MAVLINK_MSG_ID_HEARTBEAT,
    common.MAVLINK_MSG_ID_TIMESYNC,
    common.MAVLINK_MSG_ID_COMMAND_LONG,
}
HARMLESS_COMMANDS = {
    common.MAV_CMD_SET_MESSAGE_INTERVAL,
    common.MAV_CMD_REQUEST_MESSAGE,
    common.MAV_CMD_REQUEST_AUTOPILOT_CAPABILITIES,
}
POINT = np.array([0.0, 0.0, 1.0])


def flip(frame: bytearray, rng: np.random.Generator) -> None:
    for at in rng.integers(len(frame) * 8, size=rng.integers(1, 9)):
        frame[at // 8] ^= 1 << (at % 8)


def cut(frame: bytearray, rng: np.random.Generator) -> None:
    del frame[rng.integers(len(frame)) :]


def overwrite(frame: bytearray, rng: np.random.Generator) -> None:
    start, length = rng.integers(len(frame)), rng.integers(1, 20)
    frame[start : start + length] = rng.bytes(length)


def repeat(frame: bytearray, rng: np.random.Generator) -> None:
    start = rng.integers(len(frame))
    frame[start:start] = frame[: rng.integers(1, 30)]


def lengthen(frame: bytearray, rng: np.random.Generator) -> None:
    frame[1] = int(rng.integers(256))


def replace(frame: bytearray, rng: np.random.Generator) -> None:
    frame[1:] = rng.bytes(int(rng.integers(300)))


DAMAGES: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    flip,
    cut,
    overwrite,
    repeat,
    lengthen,
    replace,
)


def damaged(frames: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    while count > 0:
        whole = frames[rng.integers(len(frames))]
        frame = bytearray(whole)
        DAMAGES[rng.integers(len(DAMAGES))](frame, rng)
        if whole not in frame:  # two flips of one bit are no damage
            count -= 1
            yield bytes(frame)


@pytest.fixture(scope="module")
def said() -> list[bytes]:
    """Frames of every kind that a vehicle sends."""
    pair = Lockstep()
    pair.run(1.0)
    codec = Codec(system=1, component=1)
    body, firmware = pair.double.body, pair.double.firmware
    frames = [codec.pack(make(body, firmware)) for make in telemetry.STREAMS.values()]
    more = [
        telemetry.version(),
        common.MAVLink_command_ack_message(400, 1),
        common.MAVLink_statustext_message(2, b"Arming denied!"),
        common.MAVLink_timesync_message(5, 7),
        common.MAVLink_param_value_message(b"GUID_OPTIONS", 8.0, 9, 1, 0),
        common.MAVLink_heartbeat_message(2, 12, 128 | 1, int(Px4Mode.OFFBOARD), 4, 3),
    ]
    pair.close()
    return frames + [codec.pack(message) for message in more]


@pytest.mark.parametrize("datagrams", [True, False])
def test_a_link_that_is_not_armed_asks_for_nothing(said: list[bytes], datagrams: bool) -> None:
    wire = MemoryWire(datagrams=datagrams)
    link, reader = MavlinkLink(wire, LinkOptions()), Codec()
    now = 10**18
    for number, frame in enumerate(damaged(said, 30_000, seed=1 + datagrams)):
        wire.to_link.append(frame)
        if number % 20 == 0:
            now += 10_000_000
            link.poll(now)
            link.send(stop_command("thrust_rates"), now)
    for sent in wire.to_vehicle:
        (message,) = reader.unpack(sent)
        assert message.get_msgId() in ASKED_WITHOUT_WISH
        if message.get_msgId() == common.MAVLINK_MSG_ID_COMMAND_LONG:
            assert message.command in HARMLESS_COMMANDS


@pytest.mark.slow
def test_a_hover_goes_on_while_damage_comes_from_both_sides(said: list[bytes]) -> None:
    pair = Lockstep()
    pair.run(2.0)
    assert pair.arm().armed
    pair.fly(4.0, POINT)
    vehicle, codec = pair.link.vehicle, Codec()
    ours = [
        codec.pack(setpoint(1.0, [6.0, -6.0, 3.0], vehicle, 0)),
        codec.pack(command(vehicle, common.MAV_CMD_COMPONENT_ARM_DISARM, (0.0, 21196.0))),
        codec.pack(command(vehicle, common.MAV_CMD_DO_SET_MODE, (1.0, 4.0, 6.0))),
    ]
    to_link, to_vehicle = damaged(said, 12_000, 4), damaged(ours, 12_000, 5)
    for _ in range(400):  # 4 s
        pair.wire.to_link += [next(to_link) for _ in range(30)]
        pair.wire.to_vehicle += [next(to_vehicle) for _ in range(30)]
        pair.fly(0.01, POINT)
    assert pair.status.armed and pair.status.in_control
    assert np.linalg.norm(pair.double.body.state.position - POINT) < 0.05
    pair.close()


def frame_of(kind, payload: bytes) -> bytes:
    """Frame a payload soundly, whatever it says."""
    head = struct.pack("<BBBBBBBHB", 0xFD, len(payload), 0, 0, 0, 1, 1, kind.id & 0xFFFF, 0)
    body = head[1:] + payload
    return head + payload + struct.pack("<H", common.x25crc(body + bytes([kind.crc_extra])).crc)


def test_sound_frames_with_senseless_numbers_do_not_raise_or_arm(said: list[bytes]) -> None:
    rng = np.random.default_rng(9)
    wire = MemoryWire()
    link, reader = MavlinkLink(wire, LinkOptions()), Codec()
    wire.to_link.append(said[0])
    kinds = [common.mavlink_map[number] for number in (0, 1, 22, 30, 31, 32, 77, 105, 111, 148)]
    kinds += [common.mavlink_map[number] for number in (230, 245, 253, 331)]
    now, understood = 10**18, 0
    with np.errstate(all="ignore"):
        for number in range(16_000):
            kind = kinds[number % len(kinds)]
            frame = frame_of(kind, rng.bytes(kind.unpacker.size))
            understood += len(reader.unpack(frame))
            wire.to_link.append(frame)
            if number % 10 == 0:
                now += 10_000_000
                status = link.poll(now)
                assert status.odometry is None or status.odometry.stamp <= now
    assert understood == 16_000
    for sent in wire.to_vehicle:
        (message,) = reader.unpack(sent)
        assert message.get_msgId() in ASKED_WITHOUT_WISH | {20}


def test_garbage_does_not_hold_up_a_poll() -> None:
    class Flood(MemoryWire):
        def read(self) -> list[Chunk]:
            return [Chunk(bytes([0xFD]) + garbage[:1399], "x") for _ in range(12)]

    garbage = np.random.default_rng(3).bytes(1400)
    for datagrams in (True, False):
        link = MavlinkLink(Flood(datagrams=datagrams), LinkOptions())
        times = []
        for number in range(50):
            start = time.process_time()
            link.poll(number * 10_000_000)
            times.append(time.process_time() - start)
        assert np.median(times) < 0.01, (datagrams, np.median(times))
