"""The packets between the Betaflight SITL and a simulator. World ENU, body FLU on our side.

Facts that no packet tells: the time stamp stays constant (the firmware scales its clock by it, and
packets that arrive back to back would make it jump); the firmware wants the conjugate-like attitude
below, because it negates two elements of the rotation matrix itself.
"""

from __future__ import annotations

import struct

import numpy as np
from snn_controller.frames import GRAVITY, Array
from snn_controller.state import State

STATE_PORT, MOTOR_PORT, MSP_PORT = 9003, 9002, 5761
TIMESTAMP = 1.0  # s
SEA_LEVEL, PRESSURE_PER_METRE = 101325.0, -12.0  # Pa
MAX_FORCE = 16.0 * GRAVITY  # m/s^2, the range of an accelerometer
_STATE = struct.Struct("<d3d3d4d3d3dd")
_MOTORS = struct.Struct("<4f")
MOTOR_ORDER = [0, 3, 1, 2]  # place of M1..M4 in the firmware's front right, back left, front left,
# back right


def pack_state(state: State, specific_force: Array) -> bytes:
    """Return the packet for a true state.

    Args:
        state: The drone's state.
        specific_force: What an accelerometer feels, (3,) m/s^2 in the body.
    """
    x, y, z, w = state.quaternion.tolist()
    roll, pitch, yaw = state.body_rates.tolist()
    force = np.clip(specific_force, -MAX_FORCE, MAX_FORCE)
    height = float(state.position[2])
    return _STATE.pack(
        TIMESTAMP,
        *(roll, -pitch, -yaw),  # FRD
        *(-force).tolist(),
        *(w, x, -y, -z),
        *state.velocity.tolist(),
        *state.position.tolist(),
        SEA_LEVEL + PRESSURE_PER_METRE * height,
    )


def unpack_motors(packet: bytes) -> Array | None:
    """Return the throttle (4,) of M1..M4 in [0, 1], or None for a packet of another kind."""
    if len(packet) != _MOTORS.size:
        return None
    throttle = np.array(_MOTORS.unpack(packet), dtype=np.float64)[MOTOR_ORDER]
    return np.clip(throttle, 0.0, 1.0) if np.isfinite(throttle).all() else None
