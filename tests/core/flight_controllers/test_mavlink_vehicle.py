from __future__ import annotations

import pytest

pytest.importorskip("pymavlink")

from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.mavlink.link import objection
from snn_controller.flight_controllers.mavlink.vehicle import MavlinkAutopilot
from support.mavlink_samples import ARDUPILOT, PX4, QUADROTOR, heartbeat, received


def vehicle_of(*messages) -> MavlinkAutopilot:
    vehicle = MavlinkAutopilot()
    for message in messages:
        vehicle.take(received(message), 0)
    return vehicle


def version(major: int, minor: int):
    packed = major << 24 | minor << 16
    empty = [0] * 8
    return common.MAVLink_autopilot_version_message(
        0, packed, 0, 0, 0, empty, empty, empty, 0, 0, 0
    )


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([heartbeat(common.MAV_AUTOPILOT_GENERIC)], "runs GENERIC, but this link flies PX4"),
        ([heartbeat(kind=common.MAV_TYPE_FIXED_WING)], "is a fixed wing"),
        ([heartbeat(), version(1, 9)], "PX4 1.9.0 is too old; update it to 1.12"),
        ([heartbeat(ARDUPILOT), version(4, 0)], "ArduPilot 4.0.0 is too old"),
        (
            [
                heartbeat(ARDUPILOT),
                version(4, 5),
                common.MAVLink_param_value_message(b"GUID_OPTIONS", 0.0, 9, 1, 0),
            ],
            "GUID_OPTIONS is 0, without bit 8",
        ),
    ],
)
def test_vehicles_that_are_not_flown_get_a_sentence(messages: list, reason: str) -> None:
    assert reason in objection(vehicle_of(*messages))


def test_vehicles_that_are_flown_get_none() -> None:
    assert objection(vehicle_of(heartbeat(), version(1, 15))) == ""
    assert objection(vehicle_of(heartbeat(), version(0, 0))) == ""  # built outside a repository
    options = common.MAVLink_param_value_message(b"GUID_OPTIONS", 8.0, 9, 1, 0)
    assert objection(vehicle_of(heartbeat(ARDUPILOT), version(4, 5), options)) == ""


def test_ground_stations_and_gimbals_are_no_vehicle() -> None:
    assert vehicle_of(heartbeat(common.MAV_AUTOPILOT_INVALID, common.MAV_TYPE_GCS)).system == 0
    vehicle = MavlinkAutopilot()
    assert not vehicle.take(received(heartbeat(), component=common.MAV_COMP_ID_GIMBAL), 0)
    assert vehicle.system == 0


@pytest.mark.parametrize(
    ("autopilot", "custom_mode", "name", "taken"),
    [
        (PX4, 6 << 16, "OFFBOARD", True),
        (PX4, 3 << 16, "POSCTL", False),
        (PX4, 4 << 16 | 6 << 24, "AUTO.LAND", False),
        (PX4, 77 << 16, "mode 77.0", False),
        (ARDUPILOT, 4, "GUIDED", True),
        (ARDUPILOT, 20, "GUIDED_NOGPS", True),
        (ARDUPILOT, 9, "LAND", False),
        (ARDUPILOT, 99, "mode 99", False),
    ],
)
def test_modes_have_their_autopilots_names(
    autopilot: int, custom_mode: int, name: str, taken: bool
) -> None:
    vehicle = vehicle_of(heartbeat(autopilot, custom_mode=custom_mode))
    assert vehicle.mode == name
    assert vehicle.takes_setpoints == taken


def test_failsafe_and_termination_are_told() -> None:
    armed = common.MAV_MODE_FLAG_SAFETY_ARMED
    vehicle = vehicle_of(common.MAVLink_heartbeat_message(QUADROTOR, PX4, armed, 6 << 16, 5, 3))
    assert vehicle.mode == "OFFBOARD (failsafe)" and vehicle.takes_setpoints
    vehicle = vehicle_of(common.MAVLink_heartbeat_message(QUADROTOR, PX4, armed, 6 << 16, 8, 3))
    assert not vehicle.takes_setpoints
