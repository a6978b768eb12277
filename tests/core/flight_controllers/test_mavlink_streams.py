from __future__ import annotations

import pytest

pytest.importorskip("pymavlink")

from pymavlink.dialects.v20 import common

from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink.streams import INTERVAL_COMMAND, Streams
from snn_controller.flight_controllers.mavlink.vehicle import MavlinkAutopilot
from support.mavlink_samples import NAMES, SECOND, received


def test_streams_are_asked_for_one_by_one_until_they_are_answered() -> None:
    streams, vehicle = Streams(100.0, NAMES), MavlinkAutopilot()
    first = streams.ask(vehicle, 0)
    assert first == (common.MAVLINK_MSG_ID_ODOMETRY, 5000.0)
    assert streams.ask(vehicle, SECOND // 4) is None  # patience
    assert streams.ask(vehicle, SECOND // 2) == first  # again
    vehicle.accepted.add(INTERVAL_COMMAND)
    second = streams.ask(vehicle, SECOND)
    assert second is not None and second[0] == common.MAVLINK_MSG_ID_HEARTBEAT


def test_firmware_without_odometry_gives_the_pair() -> None:
    streams, vehicle = Streams(100.0, NAMES), MavlinkAutopilot()
    asked = set()
    for now in range(0, SECOND, SECOND // 50):
        vehicle.refusals[INTERVAL_COMMAND] = "denied"
        asked.add(request[0] if (request := streams.ask(vehicle, now)) else None)
    assert {31, 32, 230} <= asked
    pair = [
        common.MAVLink_local_position_ned_message(100, 0, 0, 0, 0, 0, 0),
        common.MAVLink_attitude_quaternion_message(100, 1, 0, 0, 0, 0, 0, 0),
    ]
    assert streams.take(received(pair[0]), SECOND) is None
    assert streams.take(received(pair[1]), SECOND) is not None


def test_silent_streams_are_asked_for_again() -> None:
    streams, vehicle = Streams(100.0, NAMES), MavlinkAutopilot()
    asked = []
    for now in range(0, 5 * SECOND, SECOND // 100):
        vehicle.accepted.add(INTERVAL_COMMAND)
        request = streams.ask(vehicle, now)
        asked += [request[0]] if request else []
    assert asked.count(common.MAVLINK_MSG_ID_ODOMETRY) >= 2
    assert asked.count(common.MAVLINK_MSG_ID_ATTITUDE_QUATERNION) >= 1


def test_a_serial_link_that_is_too_slow_is_refused() -> None:
    assert Streams(100.0, NAMES, 92160.0).ask(MavlinkAutopilot(), 0) is not None
    with pytest.raises(UserError, match="57600 baud is too slow for odometry at 100 Hz"):
        Streams(100.0, NAMES, 5760.0)
