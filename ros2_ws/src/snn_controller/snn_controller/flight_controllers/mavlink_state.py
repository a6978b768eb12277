"""MAVLink's estimates to odometry: NED and FRD become ENU and FLU. Pure functions and one memory.

Numbers that are not finite pass through, and frames that are not understood keep their MAVLink
name: the guards judge them, with a sentence.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from pymavlink.dialects.v20 import common

from snn_controller.frames import (
    Array,
    quaternion_to_matrix,
    swap_enu_ned,
    swap_flu_frd,
    swap_quaternion_convention,
)
from snn_controller.guards.limits import FrameNames
from snn_controller.state import Odometry, State

# LOCAL_FRD is NED turned by an unknown heading, as visual odometry has it.
_WORLD_FRAMES = (common.MAV_FRAME_LOCAL_NED, common.MAV_FRAME_LOCAL_FRD)
_BODY_FRAMES = (common.MAV_FRAME_BODY_FRD, common.MAV_FRAME_BODY_NED)
_POSITION_VARIANCES = (0, 6, 11)  # diagonal of the upper triangle, row by row
_ATTITUDE_VARIANCES = (15, 18, 20)
MAX_PAIR_GAP = 0.1  # s between position and attitude that still make one state


def from_odometry(message: Any, stamp: int, names: FrameNames) -> Odometry:
    """Read ODOMETRY (331), taken at `stamp` in ns on our clock."""
    quaternion = _attitude(message.q)
    velocity = np.array([message.vx, message.vy, message.vz])
    rates = swap_flu_frd([message.rollspeed, message.pitchspeed, message.yawspeed])
    if message.child_frame_id in _BODY_FRAMES:
        velocity = swap_flu_frd(velocity)
        if quaternion @ quaternion != 0.0:  # a zero quaternion is left for the guards to refuse
            velocity = quaternion_to_matrix(quaternion) @ velocity
    else:
        velocity = swap_enu_ned(velocity)
    position = swap_enu_ned([message.x, message.y, message.z])
    twist_frames = _BODY_FRAMES + _WORLD_FRAMES
    return Odometry(
        stamp=stamp,
        frame=_name(message.frame_id, _WORLD_FRAMES, names.world_frame),
        child_frame=_name(message.child_frame_id, twist_frames, names.body_frame),
        state=State(position, quaternion, velocity, rates),
        position_deviation=_deviation(message.pose_covariance, _POSITION_VARIANCES),
        attitude_deviation=_deviation(message.pose_covariance, _ATTITUDE_VARIANCES),
        velocity_deviation=_deviation(message.velocity_covariance, _POSITION_VARIANCES),
    )


class Pair:
    """LOCAL_POSITION_NED (32) and ATTITUDE_QUATERNION (31), which make a state together.

    The attitude gives the time, because rates matter most; the position is moved on to it by its
    own velocity.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._position: Any = None
        self._deviation = 0.0  # m

    def take_position(self, message: Any) -> None:
        """Keep LOCAL_POSITION_NED."""
        self._position = message

    def take_accuracy(self, message: Any) -> None:
        """Keep the accuracy of ESTIMATOR_STATUS (230), where the firmware sends it."""
        accuracy = max(message.pos_horiz_accuracy, message.pos_vert_accuracy)
        self._deviation = accuracy if math.isfinite(accuracy) else 0.0

    def complete(self, message: Any, stamp: int, names: FrameNames) -> Odometry | None:
        """Return the state at ATTITUDE_QUATERNION, or None without a position near it."""
        position = self._position
        if position is None:
            return None
        gap = (message.time_boot_ms - position.time_boot_ms) * 1e-3
        if abs(gap) > MAX_PAIR_GAP:
            return None
        velocity = np.array([position.vx, position.vy, position.vz])
        place = np.array([position.x, position.y, position.z]) + gap * velocity
        rates = [message.rollspeed, message.pitchspeed, message.yawspeed]
        state = State(
            swap_enu_ned(place),
            _attitude([message.q1, message.q2, message.q3, message.q4]),
            swap_enu_ned(velocity),
            swap_flu_frd(rates),
        )
        return Odometry(
            stamp, names.world_frame, names.body_frame, state, position_deviation=self._deviation
        )


def with_specific_force(odometry: Odometry, message: Any) -> Odometry:
    """Add the accelerometer of HIGHRES_IMU (105) to odometry."""
    force: Array = swap_flu_frd([message.xacc, message.yacc, message.zacc])
    return replace(odometry, specific_force=force)


def _attitude(wxyz: Any) -> Array:
    w, x, y, z = wxyz
    return swap_quaternion_convention([x, y, z, w])


def _name(frame: int, known: tuple[int, ...], ours: str) -> str:
    if frame in known:
        return ours
    entry = common.enums["MAV_FRAME"].get(frame)
    return entry.name if entry else f"MAV_FRAME {frame}"


def _deviation(covariance: Any, entries: tuple[int, ...]) -> float:
    """Return the largest standard deviation that is stated, 0 for none."""
    stated = [covariance[entry] for entry in entries if math.isfinite(covariance[entry])]
    return math.sqrt(max([*stated, 0.0]))
