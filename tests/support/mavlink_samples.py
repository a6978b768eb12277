"""Messages and ports for the tests of the `mavlink` link."""

from __future__ import annotations

import socket

from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.mavlink.codec import Codec
from snn_controller.vehicle.frames import FrameNames

NAMES = FrameNames("odom", "base_link")
PX4, ARDUPILOT = common.MAV_AUTOPILOT_PX4, common.MAV_AUTOPILOT_ARDUPILOTMEGA
QUADROTOR = common.MAV_TYPE_QUADROTOR
SECOND = 1_000_000_000


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def heartbeat(autopilot: int = PX4, kind: int = QUADROTOR, custom_mode: int = 0):
    return common.MAVLink_heartbeat_message(kind, autopilot, 1, custom_mode, 3, 3)


def received(message, *, system: int = 1, component: int = 1):
    """The message as it comes out of a codec."""
    (unpacked,) = Codec().unpack(Codec(system=system, component=component).pack(message))
    return unpacked
