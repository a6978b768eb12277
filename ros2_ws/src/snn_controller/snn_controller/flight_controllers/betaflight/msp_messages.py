"""What Betaflight says over MSP, taken apart: status, receiver, rates, failsafe. Pure.

Layouts are those of MSP API 1.43 to 1.47; 1.47 (Betaflight 4.6) is the one checked against the
firmware. A payload may be longer than what is read here: newer firmware appends.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from snn_controller.errors import UserError

API_VERSION, VARIANT, VERSION = 1, 2, 3
MODE_RANGES, FEATURES, RX_CONFIG, RX_MAP = 34, 36, 44, 64
FAILSAFE_CONFIG, RX_FAIL_CONFIG = 75, 77
ADVANCED_CONFIG, ANALOG, RC_TUNING, BOX_IDS, RC_DEADBAND = 90, 110, 111, 119, 125
STATUS, SET_RAW_RC = 150, 200

# Why the firmware does not arm, by bit of its arming flags: the Configurator's word, then ours.
ARMING_FLAGS = (
    ("NOGYRO", "no gyro was found"),
    ("FAILSAFE", "failsafe is active"),
    ("RXLOSS", "it hears no commands"),
    ("NOT_DISARMED", "the arm switch was on when commands came back"),
    ("BOXFAILSAFE", "the failsafe switch is on"),
    ("RUNAWAY", "run-away take-off was detected"),
    ("CRASH", "a crash was detected"),
    ("THROTTLE", "the throttle is not low"),
    ("ANGLE", "it does not stand level"),
    ("BOOTGRACE", "it is still starting up"),
    ("NOPREARM", "the pre-arm switch is off"),
    ("LOAD", "its processor is overloaded"),
    ("CALIB", "it is calibrating its sensors"),
    ("CLI", "its command line is open"),
    ("CMS", "its menu is open"),
    ("BST", "its black sheep telemetry forbids it"),
    ("MSP", "the Configurator keeps it disarmed"),
    ("PARALYZE", "the paralyze mode is on"),
    ("GPS", "it has no GPS fix for rescue"),
    ("RESCUE_SW", "the GPS rescue switch is on"),
    ("DSHOT_TELEM", "a motor sends no telemetry"),
    ("REBOOT_REQD", "it must be restarted"),
    ("DSHOT_BBANG", "its motor outputs do not work"),
    ("NO_ACC_CAL", "its accelerometer is not calibrated"),
    ("MOTOR_PROTO", "no motor protocol is set"),
    ("FLIP_SWITCH", "the turtle mode is on"),
    ("ALT_HOLD_SW", "the altitude hold switch is on"),
    ("POS_HOLD_SW", "the position hold switch is on"),
    ("ARM_SWITCH", "the arm switch went on too early"),
)
RX_LOSS = 1 << 2
ARM_SWITCH = 1 << 28


def arming_words(flags: int) -> str:
    """Return the reasons in a word of arming flags, "" for none."""
    names = [
        f"{name} ({words})" for bit, (name, words) in enumerate(ARMING_FLAGS) if flags >> bit & 1
    ]
    unknown = flags >> len(ARMING_FLAGS)
    if unknown:
        names.append(f"unknown reasons {unknown << len(ARMING_FLAGS):#x}")
    return ", ".join(names)


@dataclass(frozen=True)
class VehicleStatus:
    """MSP_STATUS_EX."""

    cycle_time: int  # us of the control loop, 0 where it does not run
    modes: int  # bit n: the n-th mode of MSP_BOXIDS is on
    arming_flags: int


@dataclass(frozen=True)
class ModeRange:
    """A range of an AUX channel that switches a mode on."""

    mode: int  # permanent number of the mode
    channel: int  # AUX channels from 0
    low: int  # us
    high: int  # us


@dataclass(frozen=True)
class RateProfile:
    """MSP_RC_TUNING: how sticks become body rates; arrays are roll, pitch, yaw."""

    kind: int  # 0 Betaflight, 1 RaceFlight, 2 KISS, 3 actual, 4 quick
    rc_rates: tuple[int, int, int]
    rates: tuple[int, int, int]
    expo: tuple[int, int, int]
    limits: tuple[int, int, int]  # degrees/s
    throttle_is_linear: bool
    throttle_is_limited: bool


@dataclass(frozen=True)
class Receiver:
    """MSP_RX_CONFIG: what the firmware takes pulse widths for."""

    middle: int  # us
    low: int  # us, throttle at and below it is none
    camera_angle: int  # degrees by which commands are turned


def parse_status(payload: bytes) -> VehicleStatus:
    """Take MSP_STATUS_EX apart."""
    cycle_time, _, _, modes = _unpack("<HHHI", payload, 0)
    more = _unpack("<B", payload, 15)[0] & 0x0F  # bytes of modes beyond the first 32
    extra = int.from_bytes(payload[16 : 16 + more], "little")
    flags = _unpack("<I", payload, 17 + more)[0]
    return VehicleStatus(cycle_time, modes | extra << 32, flags)


def parse_mode_ranges(payload: bytes) -> tuple[ModeRange, ...]:
    """Take MSP_MODE_RANGES apart, without the slots that are empty."""
    slots = struct.iter_unpack("<4B", payload[: len(payload) // 4 * 4])
    return tuple(
        ModeRange(mode, channel, 900 + 25 * low, 900 + 25 * high)
        for mode, channel, low, high in slots
        if high > low
    )


def parse_rates(payload: bytes) -> RateProfile:
    """Take MSP_RC_TUNING apart."""
    roll_rate, roll_expo, roll, pitch, yaw, _, middle, curve = _unpack("<8B", payload, 0)
    yaw_expo, yaw_rate, pitch_rate, pitch_expo, limit_kind, limit = _unpack("<6B", payload, 10)
    limits = _unpack("<3H", payload, 16)
    kind = _unpack("<B", payload, 22)[0]
    hover = payload[23] if len(payload) > 23 else middle  # came with API 1.47
    return RateProfile(
        kind=kind,
        rc_rates=(roll_rate, pitch_rate, yaw_rate),
        rates=(roll, pitch, yaw),
        expo=(roll_expo, pitch_expo, yaw_expo),
        limits=(limits[0], limits[1], limits[2]),
        throttle_is_linear=curve == 0 and hover == middle,
        throttle_is_limited=limit_kind != 0 and limit < 100,
    )


def parse_receiver(payload: bytes) -> Receiver:
    """Take MSP_RX_CONFIG apart."""
    _, _, middle, low = _unpack("<B3H", payload, 0)
    return Receiver(middle, low, camera_angle=_unpack("<B", payload, 22)[0])


def parse_deadbands(payload: bytes) -> tuple[int, int]:
    """Return the deadbands in us of roll and pitch, and of yaw, in MSP_RC_DEADBAND."""
    tilt, yaw = _unpack("<2B", payload, 0)
    return tilt, yaw


def parse_rx_fail(payload: bytes) -> tuple[tuple[int, int], ...]:
    """Return what each channel does while no commands come: mode (0 auto, 1 hold, 2 set) and us."""
    return tuple(struct.iter_unpack("<BH", payload[: len(payload) // 3 * 3]))


def parse_battery(payload: bytes) -> float | None:
    """Return the voltage in V in MSP_ANALOG, None where nothing measures it."""
    voltage = _unpack("<H", payload, 7)[0] / 100.0
    return voltage or None


def pack_channels(channels: list[int]) -> bytes:
    """Return the payload of MSP_SET_RAW_RC for pulse widths in us."""
    return struct.pack(f"<{len(channels)}H", *channels)


def _unpack(layout: str, payload: bytes, offset: int) -> tuple[int, ...]:
    """Unpack integers.

    Raises:
        UserError: The payload is too short.
    """
    if len(payload) < offset + struct.calcsize(layout):
        raise UserError(
            f"the flight controller's answer has {len(payload)} bytes, too few for its MSP version;"
            " update its firmware to Betaflight 4.3 or newer"
        )
    return struct.unpack_from(layout, payload, offset)
