"""Actions in [-1, 1]^4 and the commands they stand for. The only definition of the mapping.

Two kinds: `motors` (throttle of the rotors M1..M4) and `thrust_rates` (mass-normalised collective
thrust and body rates). Mappings use nominal constants always, in simulation too, so that a policy
means the same command on every drone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from snn_controller.vehicle.frames import GRAVITY, Array

ActionKind = Literal["motors", "thrust_rates"]
ACTION_KINDS: tuple[ActionKind, ...] = get_args(ActionKind)
ACTION_SIZE = 4
RATE_LIMITS = np.array([6.0, 6.0, 3.0])  # rad/s at |a| = 1: roll, pitch, yaw
# How the artifact writes its mapping down, so that a reader of the file needs no source code.
ACTION_MAPPINGS: dict[ActionKind, str] = {
    "motors": "throttle M1..M4 = (a + 1) / 2",
    "thrust_rates": "thrust = g (1 + a0) m/s^2, body rates = (6 a1, 6 a2, 3 a3) rad/s FLU",
}


@dataclass(frozen=True)
class Command:
    """What goes to a flight controller.

    `motors`: throttle (4,) in [0, 1]. `thrust_rates`: (4,) collective thrust m/s^2, then body
    rates rad/s FLU. `stop` switches the motors off whatever the values say.
    """

    kind: ActionKind
    values: Array  # (4,)
    stop: bool = False


def throttle_from_action(action: ArrayLike) -> Array:
    """Map motor actions (..., 4) in [-1, 1] to throttle in [0, 1], clipping what lies outside."""
    throttle = (np.asarray(action, dtype=np.float64) + 1.0) / 2.0
    return np.minimum(np.maximum(throttle, 0.0), 1.0)


def action_from_throttle(throttle: ArrayLike) -> Array:
    """Map throttle (..., 4) in [0, 1] to motor actions in [-1, 1]."""
    return 2.0 * np.asarray(throttle, dtype=np.float64) - 1.0


def thrust_rates_from_action(action: ArrayLike) -> Array:
    """Map actions (..., 4) to collective thrust m/s^2 and body rates rad/s, clipping to [-1, 1]."""
    a = np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0)
    return np.concatenate([GRAVITY * (1.0 + a[..., :1]), RATE_LIMITS * a[..., 1:]], axis=-1)


def limit_thrust_rates(values: Array) -> Array:
    """Limit thrust m/s^2 and body rates rad/s (..., 4) to what an action can ask for."""
    thrust = np.minimum(np.maximum(values[..., :1], 0.0), 2.0 * GRAVITY)
    rates = np.minimum(np.maximum(values[..., 1:], -RATE_LIMITS), RATE_LIMITS)
    return np.concatenate([thrust, rates], axis=-1)


def command_from_action(action: ArrayLike, kind: ActionKind) -> Command:
    """Return the command that an action (4,) of one kind stands for."""
    mapping = throttle_from_action if kind == "motors" else thrust_rates_from_action
    return Command(kind, mapping(action))


def action_from_command(values: ArrayLike, kind: ActionKind) -> Array:
    """Return the actions (..., 4) that commands of one kind (..., 4) stand for."""
    if kind == "motors":
        return action_from_throttle(values)
    asked = np.asarray(values, dtype=np.float64)
    return np.concatenate([asked[..., :1] / GRAVITY - 1.0, asked[..., 1:] / RATE_LIMITS], axis=-1)


def stop_command(kind: ActionKind) -> Command:
    """Return the command that switches the motors off."""
    return Command(kind, np.zeros(ACTION_SIZE), stop=True)
