"""What goes to and comes from a Crazyflie: units, signs, states in words. Pure, without cflib.

The core speaks SI units, world ENU and body FLU. The Crazyflie speaks degrees, and its setpoints
turn yaw the other way: that is undone here and nowhere else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from snn_controller.errors import UserError
from snn_controller.vehicle import GRAVITY, Array, Command, State

FULL_THRUST = 65535  # of a setpoint, unsigned 16 bit
LOWEST_THRUST = 10001  # below, the motors hardly turn; below 1000 the firmware stops them
HIGHEST_THRUST = 60000  # the firmware limits to this
# One block of 26 bytes, the most there is room for, so that a sample is of one instant. Half
# precision: 1 mm at 1 to 2 m, 0.5 mrad of attitude, 0.06 deg/s at 100 deg/s.
STATE_VARIABLES = (
    *(f"stateEstimate.{name}" for name in ("x", "y", "z", "vx", "vy", "vz")),
    *(f"stateEstimate.{name}" for name in ("qx", "qy", "qz", "qw")),
    *(f"gyro.{name}" for name in ("x", "y", "z")),
)
STATUS_VARIABLES = ("supervisor.info", "pm.vbat", "acc.x", "acc.y", "acc.z")
STATUS_TYPES = ("uint16_t", "float", "FP16", "FP16", "FP16")
RATE_MODES = ("flightmode.stabModeRoll", "flightmode.stabModePitch", "flightmode.stabModeYaw")
_RADIO = re.compile(r"radio://[0-9A-Fa-f]+/(\d{1,3})/(250K|1M|2M)(/[0-9A-Fa-f]{1,10})?")
_USB = re.compile(r"usb://\d+")
_UDP = re.compile(r"udp://[\w.-]+:(\d{1,5})")


class Supervisor(IntFlag):
    """Bits of the log variable `supervisor.info`."""

    CAN_BE_ARMED = 1
    ARMED = 2
    AUTO_ARMED = 4
    CAN_FLY = 8
    FLYING = 16
    TUMBLED = 32
    LOCKED = 64
    CRASHED = 128
    HIGH_LEVEL = 256
    DECK_FAULT = 2048


# Why a Crazyflie does not arm and what mends it, the first that holds.
_OBSTACLES = (
    (Supervisor.LOCKED, "locked by its supervisor (setpoints stopped or emergency stop): restart"),
    (Supervisor.TUMBLED, "it lies on its side or back: put it upright"),
    (Supervisor.CRASHED, "it has crashed: look it over, then restart it"),
    (Supervisor.DECK_FAULT, "a deck reports a fault: see its console in cfclient"),
)


@dataclass(frozen=True)
class Setpoint:
    """Arguments of cflib's `send_setpoint`, with all three axes in rate mode."""

    roll: float  # deg/s, as body x
    pitch: float  # deg/s, as body y (positive turns the nose down)
    yaw: float  # deg/s, against body z
    thrust: int  # 0 to 65535


STOP = Setpoint(0.0, 0.0, 0.0, 0)


def check_endpoint(endpoint: str) -> str:
    """Return an address that cflib understands.

    Raises:
        UserError: It is none.
    """
    radio, udp = _RADIO.fullmatch(endpoint), _UDP.fullmatch(endpoint)
    fits = radio is not None and int(radio[1]) <= 125
    fits |= udp is not None and 0 < int(udp[1]) <= 65535
    if not (fits or _USB.fullmatch(endpoint)):
        raise UserError(
            f"endpoint '{endpoint}' is no Crazyflie address; give endpoint:=radio://0/80/2M/E7E7E7E7E7"
            " (dongle, channel 0 to 125, data rate, address), usb://0 or udp://127.0.0.1:19850"
        )
    return endpoint


def setpoint_from_command(command: Command, throttle: Callable[[float], float]) -> Setpoint | None:
    """Return the setpoint that a thrust-and-rates command stands for, None where it is not finite.

    Args:
        command: Collective thrust in m/s^2 and body rates in rad/s FLU.
        throttle: Maps a thrust in m/s^2 to a share of full thrust in [0, 1].
    """
    thrust, *rates = command.values.tolist()
    if command.stop:
        return STOP
    if not math.isfinite(thrust + sum(rates)):
        return None
    x, y, z = (math.degrees(rate) for rate in rates)
    wanted = round(FULL_THRUST * throttle(thrust))
    return Setpoint(x, y, -z, min(max(wanted, LOWEST_THRUST), HIGHEST_THRUST))


def state_from_log(values: tuple[float, ...]) -> State:
    """Return the state from the values of `STATE_VARIABLES`.

    The quaternion is right as it comes; `stateEstimate.pitch` is not (its sign is turned), so it is
    not used.
    """
    numbers = np.array(values, dtype=np.float64)
    return State(numbers[0:3], numbers[6:10], numbers[3:6], np.deg2rad(numbers[10:13]))


def specific_force_from_log(values: tuple[float, ...]) -> Array:
    """Return what the accelerometer says (3,) in m/s^2 FLU, from values of `STATUS_VARIABLES`."""
    return GRAVITY * np.array(values[2:5], dtype=np.float64)


def arming_obstacle(info: int | None) -> str:
    """Say in words why a vehicle with these supervisor bits does not arm, "" where it does."""
    if info is None:
        return "its supervisor has not been heard yet"
    for bit, words in _OBSTACLES:
        if info & bit:
            return words
    if not info & (Supervisor.ARMED | Supervisor.CAN_BE_ARMED):
        return "its own checks before the flight have not passed: let it lie still and level"
    return ""


def mode_in_words(info: int | None) -> str:
    """Return the supervisor's state in a word or two."""
    if info is None:
        return "unknown"
    words = {
        Supervisor.LOCKED: "locked",
        Supervisor.CRASHED: "crashed",
        Supervisor.TUMBLED: "tumbled",
        Supervisor.FLYING: "flying",
        Supervisor.CAN_FLY: "ready to fly",
        Supervisor.ARMED: "armed",
    }
    return next((word for bit, word in words.items() if info & bit), "disarmed")
