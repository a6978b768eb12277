"""What to ask of a vehicle next, and how often. Pure: wish and vehicle in, request out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.mavlink_firmware import CUSTOM_MODE
from snn_controller.flight_controllers.mavlink_vehicle import Vehicle

STREAM_TIME = 1.2  # s of setpoints; firmware wants to see more than one before it gives control
_FORCE = 21196.0  # the number by which MAVLink disarms in the air: for `kill` only


class Wish(Enum):
    """What the node wants of the vehicle."""

    NOTHING = "nothing"  # it is its pilot's
    CONTROL = "control"
    DISARM = "disarm"
    KILL = "kill"
    LAND = "land"  # by the firmware's own mode


@dataclass(frozen=True)
class Request:
    """A COMMAND_LONG that is repeated every `period` s until the vehicle shows its effect."""

    command: int
    parameters: tuple[float, ...]
    period: float
    name: str  # as a refusal names it


_ARM = Request(common.MAV_CMD_COMPONENT_ARM_DISARM, (1.0,), 1.5, "arming")
_DISARM = Request(common.MAV_CMD_COMPONENT_ARM_DISARM, (0.0,), 0.5, "disarming")
_KILL = Request(common.MAV_CMD_COMPONENT_ARM_DISARM, (0.0, _FORCE), 0.1, "stopping")


def next_request(wish: Wish, vehicle: Vehicle, *, streamed: float) -> Request | None:
    """Return what to ask for, or None when there is nothing to wait for.

    Args:
        wish: What the node wants.
        vehicle: What the vehicle says of itself.
        streamed: Seconds for which setpoints have gone out without a gap.
    """
    firmware = vehicle.firmware
    if firmware is None:
        return None
    if wish is Wish.CONTROL and streamed >= STREAM_TIME:
        if not vehicle.takes_setpoints:
            return _mode(firmware.control_mode, firmware.control_name)
        return None if vehicle.armed else _ARM
    if wish is Wish.LAND and vehicle.armed:
        return _mode(firmware.land_mode, "landing")
    if vehicle.armed and wish in (Wish.DISARM, Wish.KILL):
        return _DISARM if wish is Wish.DISARM else _KILL
    return None


def refusal(request: Request | None, vehicle: Vehicle) -> str:
    """Say why a request has no effect yet, in the vehicle's own words; "" where it said nothing."""
    if request is None or request.command not in vehicle.refusals:
        return ""
    words = "; ".join(vehicle.words)
    return f"{request.name} {vehicle.refusals[request.command]}" + (f": {words}" if words else "")


def _mode(mode: tuple[float, float], name: str) -> Request:
    return Request(common.MAV_CMD_DO_SET_MODE, (CUSTOM_MODE, *mode), 1.0, f"mode {name}")
