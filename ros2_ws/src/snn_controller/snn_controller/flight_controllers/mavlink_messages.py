"""The messages that we send, built from the core's types. Pure."""

from __future__ import annotations

from typing import Any

from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.mavlink_vehicle import Vehicle
from snn_controller.frames import swap_flu_frd

_LEVEL = [1.0, 0.0, 0.0, 0.0]  # an attitude that the type mask says to ignore
_MAVLINK_VERSION = 3  # which version 2 sends too


def heartbeat() -> Any:
    """Return the HEARTBEAT of a companion computer."""
    return common.MAVLink_heartbeat_message(
        common.MAV_TYPE_ONBOARD_CONTROLLER,
        common.MAV_AUTOPILOT_INVALID,
        0,
        0,
        common.MAV_STATE_ACTIVE,
        _MAVLINK_VERSION,
    )


def setpoint(throttle: float, rates: list[float], vehicle: Vehicle, now: int) -> Any:
    """Return SET_ATTITUDE_TARGET for throttle in [0, 1] and body rates in rad/s FLU, now in ns.

    The attitude is ignored; rates turn to FRD.
    """
    roll, pitch, yaw = swap_flu_frd(rates).tolist()
    return common.MAVLink_set_attitude_target_message(
        now // 1_000_000 % 2**32,
        vehicle.system,
        vehicle.component,
        common.ATTITUDE_TARGET_TYPEMASK_ATTITUDE_IGNORE,
        _LEVEL,
        roll,
        pitch,
        yaw,
        throttle,
    )


def command(
    vehicle: Vehicle, number: int, parameters: tuple[float, ...], repetition: int = 0
) -> Any:
    """Return COMMAND_LONG to a vehicle; parameters that are not given are 0."""
    seven = (*parameters, *(0.0,) * (7 - len(parameters)))
    return common.MAVLink_command_long_message(
        vehicle.system, vehicle.component, number, min(repetition, 255), *seven
    )


def timesync(now: int) -> Any:
    """Return a TIMESYNC request at our time in ns."""
    return common.MAVLink_timesync_message(0, now)
