"""A PX4 or ArduPilot vehicle as its messages tell it, and what its firmware calls things."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.shared.autopilot import (
    ACCEPTED,
    IN_PROGRESS,
    PX4_MODES,
    RESULTS,
    Modes,
)

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


_UNKNOWN_VOLTAGE = 65535
_FAILSAFE_STATES = (
    common.MAV_STATE_CRITICAL,
    common.MAV_STATE_EMERGENCY,
    common.MAV_STATE_FLIGHT_TERMINATION,
)
_AIRBORNE = (
    common.MAV_LANDED_STATE_IN_AIR,
    common.MAV_LANDED_STATE_TAKEOFF,
    common.MAV_LANDED_STATE_LANDING,
)
_WORDS_KEPT = 3  # newest texts that a refusal quotes


@dataclass
class MavlinkAutopilot:
    """One autopilot, as its own messages tell; `take` is the only way in."""

    system: int = 0  # 0 until its first HEARTBEAT
    component: int = 0
    kind: int = 0  # MAV_TYPE
    autopilot: int = common.MAV_AUTOPILOT_INVALID
    heard: int | None = None  # when it was heard last
    beat: int | None = None  # when its last heartbeat came, which tells of mode and arming
    armed: bool = False
    custom_mode: int = 0
    system_status: int = 0  # MAV_STATE
    landed_state: int = common.MAV_LANDED_STATE_UNDEFINED
    battery: float | None = None  # V
    version: tuple[int, int, int] | None = None
    refusals: dict[int, str] = field(default_factory=dict)  # newest answer but yes, by command
    accepted: set[int] = field(default_factory=set)  # commands whose newest answer was yes
    parameters: dict[str, float] = field(default_factory=dict)
    words: deque[str] = field(default_factory=lambda: deque(maxlen=_WORDS_KEPT))

    @property
    def firmware(self) -> Firmware | None:
        """The autopilot's ways, None where this link does not know them."""
        return FIRMWARES.get(self.autopilot)

    @property
    def modes(self) -> Modes | None:
        """How to ask for its modes."""
        return self.firmware.modes if self.firmware else None

    @property
    def takes_setpoints(self) -> bool:
        """Whether its mode flies what we send, and no termination overrides it."""
        known = self.firmware is not None and self.firmware.takes_setpoints(self.custom_mode)
        return known and self.system_status != common.MAV_STATE_FLIGHT_TERMINATION

    @property
    def airborne(self) -> bool:
        """Whether it says that it is not on the ground."""
        return self.landed_state in _AIRBORNE

    @property
    def mode(self) -> str:
        """Its mode in its own words."""
        if self.firmware is None:
            return ""
        failsafe = self.armed and self.system_status in _FAILSAFE_STATES
        return self.firmware.mode_name(self.custom_mode) + (" (failsafe)" if failsafe else "")

    def take(self, message: Any, now: int) -> bool:
        """Take in a message and say whether it is from this vehicle."""
        if self.system == 0 and not self._adopt(message):
            return False
        if (message.get_srcSystem(), message.get_srcComponent()) != (self.system, self.component):
            return False
        self.heard = now
        if message.get_msgId() == common.MAVLINK_MSG_ID_HEARTBEAT:
            self.beat = now
        reader = _READERS.get(message.get_msgId())
        if reader is not None:
            reader(self, message)
        return True

    def forget_answers(self) -> None:
        """Forget what it refused, and why."""
        self.refusals.clear()
        self.words.clear()

    def _adopt(self, message: Any) -> bool:
        """Make the first autopilot that is heard ours; ground stations and gimbals are none."""
        if message.get_msgId() != common.MAVLINK_MSG_ID_HEARTBEAT:
            return False
        if message.get_srcComponent() != common.MAV_COMP_ID_AUTOPILOT1:
            return False
        if message.autopilot == common.MAV_AUTOPILOT_INVALID or message.get_srcSystem() == 0:
            return False
        self.system, self.component = message.get_srcSystem(), message.get_srcComponent()
        self.autopilot, self.kind = message.autopilot, message.type
        return True


def _read_heartbeat(vehicle: MavlinkAutopilot, message: Any) -> None:
    vehicle.armed = bool(message.base_mode & common.MAV_MODE_FLAG_SAFETY_ARMED)
    vehicle.custom_mode = message.custom_mode
    vehicle.system_status = message.system_status


def _read_status(vehicle: MavlinkAutopilot, message: Any) -> None:
    millivolts = message.voltage_battery
    vehicle.battery = None if millivolts in (0, _UNKNOWN_VOLTAGE) else millivolts * 1e-3


def _read_landed(vehicle: MavlinkAutopilot, message: Any) -> None:
    vehicle.landed_state = message.landed_state


def _read_version(vehicle: MavlinkAutopilot, message: Any) -> None:
    packed = message.flight_sw_version
    vehicle.version = (packed >> 24) & 255, (packed >> 16) & 255, (packed >> 8) & 255


def _read_answer(vehicle: MavlinkAutopilot, message: Any) -> None:
    command = message.command
    if message.result == ACCEPTED:
        vehicle.refusals.pop(command, None)
        vehicle.accepted.add(command)
    elif message.result != IN_PROGRESS:
        vehicle.refusals[command] = RESULTS.get(message.result, f"answered {message.result}")
        vehicle.accepted.discard(command)


def _read_text(vehicle: MavlinkAutopilot, message: Any) -> None:
    text = "".join(filter(str.isprintable, message.text)).strip()
    if message.severity <= common.MAV_SEVERITY_WARNING and text and text not in vehicle.words:
        vehicle.words.append(text)


def _read_parameter(vehicle: MavlinkAutopilot, message: Any) -> None:
    # PX4 puts the bits of a whole number into the float; only ArduPilot's are asked for.
    vehicle.parameters[message.param_id] = message.param_value


_READERS = {
    common.MAVLINK_MSG_ID_HEARTBEAT: _read_heartbeat,
    common.MAVLINK_MSG_ID_SYS_STATUS: _read_status,
    common.MAVLINK_MSG_ID_EXTENDED_SYS_STATE: _read_landed,
    common.MAVLINK_MSG_ID_AUTOPILOT_VERSION: _read_version,
    common.MAVLINK_MSG_ID_COMMAND_ACK: _read_answer,
    common.MAVLINK_MSG_ID_STATUSTEXT: _read_text,
    common.MAVLINK_MSG_ID_PARAM_VALUE: _read_parameter,
}
