"""What PX4 and ArduPilot call things: modes, how to ask for them, versions, answers."""

from __future__ import annotations

from dataclasses import dataclass

from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.shared.mode_requests import PX4_MODES, Modes

MULTIROTORS = frozenset(
    {
        common.MAV_TYPE_QUADROTOR,
        common.MAV_TYPE_HEXAROTOR,
        common.MAV_TYPE_OCTOROTOR,
        common.MAV_TYPE_TRICOPTER,
        common.MAV_TYPE_DODECAROTOR,
        common.MAV_TYPE_DECAROTOR,
    }
)
_PX4_OFFBOARD, _PX4_AUTO = 6, 4
_PX4_MODES = {
    1: "MANUAL",
    2: "ALTCTL",
    3: "POSCTL",
    4: "AUTO",
    5: "ACRO",
    6: "OFFBOARD",
    7: "STABILIZED",
    8: "RATTITUDE",
    9: "SIMPLE",
    10: "TERMINATION",
}
_PX4_AUTO_MODES = {
    1: "READY",
    2: "TAKEOFF",
    3: "LOITER",
    4: "MISSION",
    5: "RTL",
    6: "LAND",
    8: "FOLLOW",
    9: "PRECLAND",
}
_COPTER_GUIDED, _COPTER_GUIDED_NO_GPS = 4, 20
_COPTER_MODES = {
    0: "STABILIZE",
    1: "ACRO",
    2: "ALT_HOLD",
    3: "AUTO",
    4: "GUIDED",
    5: "LOITER",
    6: "RTL",
    7: "CIRCLE",
    9: "LAND",
    11: "DRIFT",
    13: "SPORT",
    14: "FLIP",
    15: "AUTOTUNE",
    16: "POSHOLD",
    17: "BRAKE",
    18: "THROW",
    20: "GUIDED_NOGPS",
    21: "SMART_RTL",
}


@dataclass(frozen=True)
class Firmware:
    """One autopilot's ways."""

    name: str
    oldest: tuple[int, int]  # version whose contract this link was written for
    modes: Modes
    check: str = ""  # parameter that must have `check_bit` set, "" for none
    check_bit: int = 0
    check_mend: str = ""

    def mode_name(self, custom_mode: int) -> str:
        """Return a mode in the autopilot's own words."""
        if self.name != "PX4":
            return _COPTER_MODES.get(custom_mode, f"mode {custom_mode}")
        main, sub = _px4_mode(custom_mode)
        if main == _PX4_AUTO and sub in _PX4_AUTO_MODES:
            return f"AUTO.{_PX4_AUTO_MODES[sub]}"
        return _PX4_MODES.get(main, f"mode {main}.{sub}")

    def takes_setpoints(self, custom_mode: int) -> bool:
        """Whether body rates and thrust from outside fly the vehicle in this mode."""
        if self.name == "PX4":
            return _px4_mode(custom_mode)[0] == _PX4_OFFBOARD
        return custom_mode in (_COPTER_GUIDED, _COPTER_GUIDED_NO_GPS)


def _px4_mode(custom_mode: int) -> tuple[int, int]:
    return (custom_mode >> 16) & 255, (custom_mode >> 24) & 255


FIRMWARES = {
    common.MAV_AUTOPILOT_PX4: Firmware(
        name="PX4",
        oldest=(1, 12),
        modes=PX4_MODES,
    ),
    common.MAV_AUTOPILOT_ARDUPILOTMEGA: Firmware(
        name="ArduPilot",
        oldest=(4, 2),  # the first to take body rates without an attitude
        modes=Modes(control=(float(_COPTER_GUIDED), 0.0), control_name="GUIDED", land=(9.0, 0.0)),
        check="GUID_OPTIONS",
        check_bit=8,
        check_mend="set it, or thrust is taken for a climb rate",
    ),
}


def autopilot_name(number: int) -> str:
    """Return the name of an autopilot of a HEARTBEAT."""
    entry = common.enums["MAV_AUTOPILOT"].get(number)
    return entry.name.removeprefix("MAV_AUTOPILOT_") if entry else f"autopilot {number}"


def vehicle_name(number: int) -> str:
    """Return the name of a type of vehicle of a HEARTBEAT."""
    entry = common.enums["MAV_TYPE"].get(number)
    name = entry.name.removeprefix("MAV_TYPE_") if entry else f"type {number}"
    return name.lower().replace("_", " ")
