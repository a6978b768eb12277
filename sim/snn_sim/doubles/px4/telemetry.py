"""Messages that the PX4 double sends: our true state in PX4's frames and words.

The frames are turned by matrices and signs written out here, not by the functions of the link
that is tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from pymavlink.dialects.v20 import common

from snn_controller.vehicle import State
from snn_sim.doubles.px4.body import Px4Body
from snn_sim.doubles.px4.firmware import Px4Firmware

VERSION = (1 << 24) | (12 << 16)  # 1.12.0
POSITION_DEVIATION, ATTITUDE_DEVIATION, VELOCITY_DEVIATION = 0.05, 0.01, 0.03  # stated, m rad m/s
_ON_GROUND, _IN_AIR = common.MAV_LANDED_STATE_ON_GROUND, common.MAV_LANDED_STATE_IN_AIR
DEFAULT_RATES = {  # Hz, some of PX4's onboard set
    common.MAVLINK_MSG_ID_HEARTBEAT: 1.0,
    common.MAVLINK_MSG_ID_SYS_STATUS: 5.0,
    common.MAVLINK_MSG_ID_EXTENDED_SYS_STATE: 5.0,
    common.MAVLINK_MSG_ID_ATTITUDE_QUATERNION: 50.0,
    common.MAVLINK_MSG_ID_LOCAL_POSITION_NED: 30.0,
}


def heartbeat(body: Px4Body, firmware: Px4Firmware) -> Any:
    """Return HEARTBEAT."""
    armed = common.MAV_MODE_FLAG_SAFETY_ARMED if firmware.armed else 0
    active = common.MAV_STATE_CRITICAL if firmware.failsafe else common.MAV_STATE_ACTIVE
    return common.MAVLink_heartbeat_message(
        common.MAV_TYPE_QUADROTOR,
        common.MAV_AUTOPILOT_PX4,
        common.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED | armed,
        int(firmware.mode),
        active if firmware.armed else common.MAV_STATE_STANDBY,
        3,
    )


def odometry(body: Px4Body, firmware: Px4Firmware) -> Any:
    """Return ODOMETRY as PX4 1.12 has it: pose and velocity in NED, rates in the body."""
    state = body.estimate
    (x, y, z), (vx, vy, vz) = _ned(state.position), _ned(state.velocity)
    roll, pitch, yaw = _frd(state.body_rates)
    pose = _diagonal({POSITION_DEVIATION: (0, 6, 11), ATTITUDE_DEVIATION: (15, 18, 20)})
    return common.MAVLink_odometry_message(
        round(body.told_time * 1e6),
        common.MAV_FRAME_LOCAL_NED,
        common.MAV_FRAME_LOCAL_NED,
        x,
        y,
        z,
        attitude_wxyz(state),
        vx,
        vy,
        vz,
        roll,
        pitch,
        yaw,
        pose,
        _diagonal({VELOCITY_DEVIATION: (0, 6, 11)}),
        reset_counter=body.resets % 256,
    )


def _diagonal(deviations: dict[float, tuple[int, ...]]) -> list[float]:
    """Return the upper triangle of a covariance (21,), NaN where PX4 states nothing."""
    covariance = [math.nan] * 21
    for deviation, entries in deviations.items():
        for entry in entries:
            covariance[entry] = deviation**2
    return covariance


def attitude_quaternion(body: Px4Body, firmware: Px4Firmware) -> Any:
    """Return ATTITUDE_QUATERNION."""
    w, x, y, z = attitude_wxyz(body.estimate)
    roll, pitch, yaw = _frd(body.estimate.body_rates)
    return common.MAVLink_attitude_quaternion_message(
        round(body.told_time * 1e3), w, x, y, z, roll, pitch, yaw
    )


def local_position(body: Px4Body, firmware: Px4Firmware) -> Any:
    """Return LOCAL_POSITION_NED."""
    x, y, z = _ned(body.estimate.position)
    vx, vy, vz = _ned(body.estimate.velocity)
    return common.MAVLink_local_position_ned_message(
        round(body.told_time * 1e3), x, y, z, vx, vy, vz
    )


def system_status(body: Px4Body, firmware: Px4Firmware) -> Any:
    """Return SYS_STATUS."""
    millivolts = round(1e3 * body.battery)
    return common.MAVLink_sys_status_message(0, 0, 0, 200, millivolts, -1, 80, 0, 0, 0, 0, 0, 0)


def extended_state(body: Px4Body, firmware: Px4Firmware) -> Any:
    """Return EXTENDED_SYS_STATE."""
    return common.MAVLink_extended_sys_state_message(0, _ON_GROUND if firmware.landed else _IN_AIR)


def inertial(body: Px4Body, firmware: Px4Firmware) -> Any:
    """Return HIGHRES_IMU without noise; magnetometer and barometer stay empty."""
    xacc, yacc, zacc = _frd(body.specific_force)
    roll, pitch, yaw = _frd(body.state.body_rates)
    return common.MAVLink_highres_imu_message(
        time_usec=round(body.told_time * 1e6),
        xacc=xacc,
        yacc=yacc,
        zacc=zacc,
        xgyro=roll,
        ygyro=pitch,
        zgyro=yaw,
        xmag=0.0,
        ymag=0.0,
        zmag=0.0,
        abs_pressure=0.0,
        diff_pressure=0.0,
        pressure_alt=0.0,
        temperature=0.0,
        fields_updated=0b111111,
    )


def version() -> Any:
    """Return AUTOPILOT_VERSION."""
    capabilities = (
        common.MAV_PROTOCOL_CAPABILITY_MAVLINK2 | common.MAV_PROTOCOL_CAPABILITY_SET_ATTITUDE_TARGET
    )
    return common.MAVLink_autopilot_version_message(
        capabilities, VERSION, VERSION, 0, 0, [0] * 8, [0] * 8, [0] * 8, 0, 0, 1
    )


STREAMS: dict[int, Callable[[Px4Body, Px4Firmware], Any]] = {
    common.MAVLINK_MSG_ID_HEARTBEAT: heartbeat,
    common.MAVLINK_MSG_ID_SYS_STATUS: system_status,
    common.MAVLINK_MSG_ID_EXTENDED_SYS_STATE: extended_state,
    common.MAVLINK_MSG_ID_ATTITUDE_QUATERNION: attitude_quaternion,
    common.MAVLINK_MSG_ID_LOCAL_POSITION_NED: local_position,
    common.MAVLINK_MSG_ID_ODOMETRY: odometry,
    common.MAVLINK_MSG_ID_HIGHRES_IMU: inertial,
}


def attitude_wxyz(state: State) -> list[float]:
    """Return the attitude from FRD to NED as PX4 writes it: w, x, y, z with w >= 0."""
    to_ned = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    matrix = to_ned @ state.rotation @ np.diag([1.0, -1.0, -1.0])
    if not np.isfinite(matrix).all():
        return [math.nan] * 4
    # The matrix whose largest eigenvector is the quaternion: good for every attitude.
    xx, xy, xz, yx, yy, yz, zx, zy, zz = matrix.ravel()
    symmetric = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    _, vectors = np.linalg.eigh(symmetric)
    w, x, y, z = vectors[:, -1].tolist()
    return [w, x, y, z] if w >= 0.0 else [-w, -x, -y, -z]


def _ned(enu: Any) -> tuple[float, float, float]:
    east, north, up = map(float, enu)
    return north, east, -up


def _frd(flu: Any) -> tuple[float, float, float]:
    forward, left, up = map(float, flu)
    return forward, -left, -up
