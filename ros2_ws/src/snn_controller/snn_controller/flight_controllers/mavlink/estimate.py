"""MAVLink's estimates to odometry. Pure functions and one memory.

Frames that are not understood keep their MAVLink name: the guards refuse them, with a sentence.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.shared.ned import largest_deviation, state_from_ned
from snn_controller.vehicle import Array, FrameNames, Odometry, swap_flu_frd

# LOCAL_FRD is NED turned by an unknown heading, as visual odometry has it.
_WORLD_FRAMES = (common.MAV_FRAME_LOCAL_NED, common.MAV_FRAME_LOCAL_FRD)
_BODY_FRAMES = (common.MAV_FRAME_BODY_FRD, common.MAV_FRAME_BODY_NED)
_POSITION_VARIANCES = (0, 6, 11)  # diagonal of the upper triangle, row by row
_ATTITUDE_VARIANCES = (15, 18, 20)
MAX_PAIR_GAP = 0.1  # s between position and attitude that still make one state


def from_odometry(message: Any, stamp: int, names: FrameNames) -> Odometry:
    """Read ODOMETRY (331), taken at `stamp` in ns on our clock."""
    twist_frames = _BODY_FRAMES + _WORLD_FRAMES
    state = state_from_ned(
        [message.x, message.y, message.z],
        message.q,
        [message.vx, message.vy, message.vz],
        [message.rollspeed, message.pitchspeed, message.yawspeed],
        velocity_in_body=message.child_frame_id in _BODY_FRAMES,
    )
    return Odometry(
        stamp=stamp,
        frame=_name(message.frame_id, _WORLD_FRAMES, names.world_frame),
        child_frame=_name(message.child_frame_id, twist_frames, names.body_frame),
        state=state,
        position_deviation=_deviation(message.pose_covariance, _POSITION_VARIANCES),
        attitude_deviation=_deviation(message.pose_covariance, _ATTITUDE_VARIANCES),
        velocity_deviation=_deviation(message.velocity_covariance, _POSITION_VARIANCES),
        resets=message.reset_counter,
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
        state = state_from_ned(
            place,
            [message.q1, message.q2, message.q3, message.q4],
            velocity,
            [message.rollspeed, message.pitchspeed, message.yawspeed],
            velocity_in_body=False,
        )
        return Odometry(
            stamp, names.world_frame, names.body_frame, state, position_deviation=self._deviation
        )


def with_specific_force(odometry: Odometry, message: Any) -> Odometry:
    """Add the accelerometer of HIGHRES_IMU (105) to odometry."""
    force: Array = swap_flu_frd([message.xacc, message.yacc, message.zacc])
    return replace(odometry, specific_force=force)


def _name(frame: int, known: tuple[int, ...], ours: str) -> str:
    if frame in known:
        return ours
    entry = common.enums["MAV_FRAME"].get(frame)
    return entry.name if entry else f"MAV_FRAME {frame}"


def _deviation(covariance: Any, entries: tuple[int, ...]) -> float:
    return largest_deviation(covariance[entry] for entry in entries)
