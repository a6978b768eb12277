"""Which messages a vehicle is asked to stream, and the odometry that they make. Times are ns.

Frames that are not understood keep their MAVLink name: the guards refuse them, with a sentence.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from pymavlink.dialects.v20 import common

from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink.vehicle import MavlinkAutopilot
from snn_controller.flight_controllers.shared.estimate import (
    VehicleClock,
    largest_deviation,
    state_from_ned,
)
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
        told = (message.pos_horiz_accuracy, message.pos_vert_accuracy)
        self._deviation = max((x for x in told if math.isfinite(x)), default=0.0)

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


INTERVAL_COMMAND = common.MAV_CMD_SET_MESSAGE_INTERVAL
ODOMETRY = common.MAVLINK_MSG_ID_ODOMETRY
_ATTITUDE = common.MAVLINK_MSG_ID_ATTITUDE_QUATERNION
_POSITION = common.MAVLINK_MSG_ID_LOCAL_POSITION_NED
_ACCURACY = common.MAVLINK_MSG_ID_ESTIMATOR_STATUS
_INERTIAL = common.MAVLINK_MSG_ID_HIGHRES_IMU
# Hz. The heartbeat tells of a pilot's mode change, so the usual 1 Hz is too slow.
_ALWAYS = {
    common.MAVLINK_MSG_ID_HEARTBEAT: 10.0,
    common.MAVLINK_MSG_ID_EXTENDED_SYS_STATE: 5.0,
    common.MAVLINK_MSG_ID_SYS_STATUS: 2.0,
    _INERTIAL: 20.0,
}
# Firmware sends at whole multiples of its own loop, which falls short of the rate that is asked
# for; the flight picks the samples that it needs.
OVERSAMPLING = 2.0
_ODOMETRY_SIZE = 250.0  # bytes of a frame
_LINK_SHARE = 0.5  # of a serial link's bandwidth that odometry may take
_PATIENCE = 500_000_000  # ns for an answer
_TRIES = 3
_SILENCE = 1_500_000_000  # ns without odometry after which the streams are asked for again


class Streams:
    """Asks one stream after the other, each until it is answered.

    The state comes from ODOMETRY, or from the pair of older messages where firmware has none.
    """

    def __init__(self, rate: float, names: FrameNames, bandwidth: float | None = None) -> None:
        """Prepare to ask for odometry at a rate in Hz.

        Raises:
            UserError: The link is too slow for it.
        """
        self._rate = _affordable(rate, bandwidth)
        self._names = names
        self.clock = VehicleClock()
        self._pair = Pair()
        self._uses_pair = False
        self._inertial: Any = None
        self._queue = deque(self._wanted())
        self._asked: tuple[int, float] | None = None
        self._asked_at = self._tries = 0
        self._newest: int | None = None  # when odometry came last, or was asked for again

    def ask(self, vehicle: MavlinkAutopilot, now: int) -> tuple[int, float] | None:
        """Return the message and the interval in us to ask for now."""
        self._watch(now)
        if self._asked is not None:
            refused = INTERVAL_COMMAND in vehicle.refusals
            if not (refused or INTERVAL_COMMAND in vehicle.accepted):
                return self._again(now)
            self._settle(refused)
        if not self._queue:
            return None
        vehicle.refusals.pop(INTERVAL_COMMAND, None)
        vehicle.accepted.discard(INTERVAL_COMMAND)
        message, rate = self._queue.popleft()
        self._asked, self._asked_at, self._tries = (message, 1e6 / rate), now, 1
        return self._asked

    def asked_for(self) -> list[int]:
        """Return the messages whose intervals were set, to give them back."""
        return [message for message, _ in self._wanted()]

    def take(self, message: Any, now: int) -> Odometry | None:
        """Take in a message of the vehicle and return the odometry that it completes."""
        identity = message.get_msgId()
        if identity == _POSITION:
            self._pair.take_position(message)
        elif identity == _ACCURACY:
            self._pair.take_accuracy(message)
        elif identity == _INERTIAL:
            self._inertial = message
        elif identity == common.MAVLINK_MSG_ID_TIMESYNC and message.tc1 != 0:
            self.clock.answer(message.tc1, message.ts1, now)
        return self._complete(identity, message, now)

    def _complete(self, identity: int, message: Any, now: int) -> Odometry | None:
        odometry = None
        if identity == ODOMETRY and not self._uses_pair:
            stamp = self.clock.to_node(message.time_usec * 1_000, now)
            odometry = from_odometry(message, stamp, self._names)
        elif identity == _ATTITUDE and self._uses_pair:
            stamp = self.clock.to_node(message.time_boot_ms * 1_000_000, now)
            odometry = self._pair.complete(message, stamp, self._names)
        if odometry is None:
            return None
        self._newest = now
        return odometry if self._inertial is None else with_specific_force(odometry, self._inertial)

    def _wanted(self) -> list[tuple[int, float]]:
        state = {ODOMETRY: self._rate}
        if self._uses_pair:
            state = {_POSITION: self._rate, _ATTITUDE: self._rate, _ACCURACY: 5.0}
        return list((state | _ALWAYS).items())

    def _again(self, now: int) -> tuple[int, float] | None:
        """Repeat a question that got no answer, or give it up."""
        if now - self._asked_at < _PATIENCE:
            return None
        if self._tries >= _TRIES:
            self._settle(refused=True)
            return None
        self._tries += 1
        self._asked_at = now
        return self._asked

    def _settle(self, refused: bool) -> None:
        if refused and self._asked is not None and self._asked[0] == ODOMETRY:
            self._begin(pair=True)
        self._asked = None

    def _watch(self, now: int) -> None:
        """Ask anew when no odometry comes: firmware without it, or one that has started anew."""
        if self._newest is None:
            self._newest = now
        elif now - self._newest > _SILENCE:
            self._newest = now
            self._begin(pair=not self._uses_pair)

    def _begin(self, *, pair: bool) -> None:
        """Ask for all streams, the state from the older pair or from ODOMETRY."""
        self._uses_pair = pair
        self._queue = deque(self._wanted())


def _affordable(rate: float, bandwidth: float | None) -> float:
    if bandwidth is None:
        return OVERSAMPLING * rate
    most = _LINK_SHARE * bandwidth / _ODOMETRY_SIZE
    if most < rate:
        raise UserError(
            f"a serial link of {bandwidth * 10:.0f} baud is too slow for odometry at {rate:g} Hz;"
            f" set both ends to {rate * _ODOMETRY_SIZE / _LINK_SHARE * 10:.0f} baud or more, such"
            " as 921600"
        )
    return min(OVERSAMPLING * rate, most)
