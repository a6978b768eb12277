"""Whether a vehicle is one that this link may fly, found out before anything is armed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymavlink.dialects.v20 import common

from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink.codec import command
from snn_controller.flight_controllers.mavlink.firmware import (
    FIRMWARES,
    MULTIROTORS,
    autopilot_name,
    vehicle_name,
)
from snn_controller.flight_controllers.mavlink.vehicle import Vehicle

ANSWER_TIME = 10.0  # s to wait for a vehicle and for its version


def objection(vehicle: Vehicle) -> str:
    """Say why a vehicle that has been heard is not flown, as far as is known; "" for no reason."""
    firmware = vehicle.firmware
    if firmware is None:
        names = " and ".join(firmware.name for firmware in FIRMWARES.values())
        return (
            f"the vehicle runs {autopilot_name(vehicle.autopilot)}, but this link flies {names};"
            " check the endpoint, or choose another link"
        )
    if vehicle.kind not in MULTIROTORS:
        return (
            f"the vehicle is a {vehicle_name(vehicle.kind)}, but body rates and thrust fly"
            " multirotors; check the endpoint and the autopilot's airframe"
        )
    version = vehicle.version
    # 0.0.0 is what firmware says that was built outside its repository: its age is unknown
    if version is not None and version != (0, 0, 0) and version[:2] < firmware.oldest:
        return (
            f"{firmware.name} {version[0]}.{version[1]}.{version[2]} is too old;"
            f" update it to {firmware.oldest[0]}.{firmware.oldest[1]} or later"
        )
    if firmware.check in vehicle.parameters:
        value = int(vehicle.parameters[firmware.check])
        if not value & firmware.check_bit:
            return (
                f"{firmware.name}'s parameter {firmware.check} is {value}, without bit"
                f" {firmware.check_bit}: {firmware.check_mend}"
            )
    return ""


def questions(vehicle: Vehicle) -> list[Any]:
    """Return the messages that ask for what is not known of a vehicle yet."""
    firmware = vehicle.firmware
    if firmware is None:
        return []
    asked: list[Any] = []
    if vehicle.version is None:
        version = float(common.MAVLINK_MSG_ID_AUTOPILOT_VERSION)
        asked.append(command(vehicle, common.MAV_CMD_REQUEST_MESSAGE, (version,)))
        # the older way to ask the same
        asked.append(command(vehicle, common.MAV_CMD_REQUEST_AUTOPILOT_CAPABILITIES, (1.0,)))
    if firmware.check and firmware.check not in vehicle.parameters:
        asked.append(
            common.MAVLink_param_request_read_message(
                vehicle.system, vehicle.component, firmware.check.encode(), -1
            )
        )
    return asked


def await_introduction(
    vehicle: Vehicle, poll: Callable[[], None], elapsed: Callable[[], float]
) -> None:
    """Poll until a vehicle is known well enough to fly it.

    Raises:
        UserError: It is not one that this link flies, or it does not say what it is.
    """
    while elapsed() < ANSWER_TIME:
        poll()
        if vehicle.system != 0:
            if reason := objection(vehicle):
                raise UserError(reason)
            if not questions(vehicle):
                return
    if vehicle.system == 0:
        return  # the link knows best why nobody was heard
    firmware = vehicle.firmware
    assert firmware is not None
    what = "its version" if vehicle.version is None else f"its parameter {firmware.check}"
    raise UserError(
        f"{firmware.name} does not tell {what}; update it to"
        f" {firmware.oldest[0]}.{firmware.oldest[1]} or later, and check the link"
    )
