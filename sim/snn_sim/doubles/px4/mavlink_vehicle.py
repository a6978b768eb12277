"""A MAVLink vehicle that behaves like PX4 and flies our PyBullet drone, in lockstep or real time.

A test double, not PX4: `px4_firmware` says which behaviour was observed with real firmware and
which is from its documentation. It has no estimator: the state it tells is the true one.

`snn_sim.doubles.px4.run` runs it in a process of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.mavlink import Codec
from snn_controller.vehicle import Array, Quadrotor, State
from snn_sim.doubles.px4.firmware import (
    ACCEPTED,
    CRITICAL,
    DENIED,
    UNSUPPORTED,
    OwnFlight,
    Px4Body,
    Px4Firmware,
    Px4Mode,
)

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


SYSTEM, COMPONENT = 1, common.MAV_COMP_ID_AUTOPILOT1
_ALL_RATES = common.ATTITUDE_TARGET_TYPEMASK_ATTITUDE_IGNORE  # rates and thrust count
_FORCE = 21196.0
_FASTEST = 250.0  # Hz of a stream


class Px4Double:
    """Bytes in, bytes out, and `step` for the time between."""

    def __init__(
        self, quadrotor: Quadrotor, *, key: bytes | None = None, datagrams: bool = True
    ) -> None:
        """Stand on the ground, disarmed.

        Args:
            quadrotor: The airframe.
            key: Signing key (32,); with it, unsigned bytes are ignored.
            datagrams: Whether what is received are whole messages, and not a stream of bytes.
        """
        self.body = Px4Body(quadrotor)
        self.firmware = Px4Firmware()
        self.firmware.parameters["MPC_THR_HOVER"] = quadrotor.hover_throttle
        self._codec = Codec(system=SYSTEM, component=COMPONENT, key=key, datagrams=datagrams)
        self._out: list[bytes] = []
        self._rates: dict[int, float] = dict(DEFAULT_RATES)
        self._due: dict[int, float] = {}
        self._throttle = 0.0
        self._wanted = np.zeros(3)  # rad/s FLU
        self._own = OwnFlight(self.body, self.firmware)
        self.muted: frozenset[int] = frozenset()  # messages that it does not send
        self.push: Array | None = None  # (3,) N m, a torque from outside

    def receive(self, data: bytes) -> None:
        """Take in a datagram."""
        for message in self._codec.unpack(data):
            reader = _READERS.get(message.get_msgId())
            if reader is not None and getattr(message, "target_system", SYSTEM) in (0, SYSTEM):
                reader(self, message)

    def step(self) -> None:
        """Advance one period of the body, and send what is due."""
        body, firmware = self.body, self.firmware
        flying = firmware.armed and (firmware.mode is not Px4Mode.OFFBOARD or self._throttle > 0.0)
        thrust = flying and not self._own.is_down
        firmware.watch(body.time, on_ground=body.on_ground, thrust=thrust)
        if not self._own.step():
            body.step(self._throttle, self._wanted, push=self.push)
        for text in firmware.texts:
            self._send(common.MAVLink_statustext_message(CRITICAL, text.encode()[:50]))
        firmware.texts.clear()
        self._stream()

    def transmit(self) -> list[bytes]:
        """Return the datagrams sent since the last call."""
        sent, self._out = self._out, []
        return sent

    def close(self) -> None:
        """Close the world."""
        self.body.close()

    def _stream(self) -> None:
        now = self.body.time
        for message, rate in self._rates.items():
            due = self._due.get(message, 0.0)
            if now >= due - 1e-9:
                self._due[message] = max(due + 1.0 / rate, now)
                self._send(STREAMS[message](self.body, self.firmware))

    def _send(self, message: Any) -> None:
        if message.get_msgId() not in self.muted:
            self._out.append(self._codec.pack(message))

    def _read_setpoint(self, message: Any) -> None:
        values = [message.body_roll_rate, message.body_pitch_rate, message.body_yaw_rate]
        if message.type_mask != _ALL_RATES or not np.isfinite([*values, message.thrust]).all():
            return
        self.firmware.take_setpoint(self.body.time)
        roll, pitch, yaw = values  # FRD
        self._wanted = np.array([roll, -pitch, -yaw])
        self._throttle = min(max(message.thrust, 0.0), 1.0)

    def _read_command(self, message: Any) -> None:
        answer = _COMMANDS.get(message.command)
        result = UNSUPPORTED if answer is None else answer(self, message)
        self._send(
            common.MAVLink_command_ack_message(
                message.command,
                result,
                target_system=message.get_srcSystem(),
                target_component=message.get_srcComponent(),
            )
        )

    def _change_mode(self, message: Any) -> int:
        custom = (int(message.param2) << 16) | (int(message.param3) << 24)
        return self.firmware.request_mode(custom, self.body.time)

    def _land(self, message: Any) -> int:
        return self.firmware.request_mode(Px4Mode.LAND, self.body.time)

    def _arm_or_disarm(self, message: Any) -> int:
        if message.param1 == 1.0:
            return self.firmware.request_arming(self.body.time)
        if message.param1 == 0.0:
            return self.firmware.request_disarming(force=message.param2 == _FORCE)
        return UNSUPPORTED

    def _set_interval(self, message: Any) -> int:
        identity, interval = int(message.param1), message.param2
        if identity not in STREAMS or not np.isfinite(interval):
            return DENIED
        if interval > 0.0:
            self._rates[identity] = min(1e6 / interval, _FASTEST)
        elif interval == 0.0 and identity in DEFAULT_RATES:
            self._rates[identity] = DEFAULT_RATES[identity]
        else:
            self._rates.pop(identity, None)
        return ACCEPTED

    def _request_message(self, message: Any) -> int:
        if int(message.param1) != common.MAVLINK_MSG_ID_AUTOPILOT_VERSION:
            return UNSUPPORTED
        return self._tell_version(message)

    def _tell_version(self, message: Any) -> int:
        self._send(version())
        return ACCEPTED

    def _read_timesync(self, message: Any) -> None:
        if message.tc1 == 0:
            vehicle = round(self.body.told_time * 1e9) + 1
            self._send(common.MAVLink_timesync_message(vehicle, message.ts1))

    def _read_parameter_request(self, message: Any) -> None:
        names: Iterable[str] = self.firmware.parameters
        name = message.param_id
        if name in names:
            self._tell_parameter(name)

    def _set_parameter(self, message: Any) -> None:
        if message.param_id in self.firmware.parameters and np.isfinite(message.param_value):
            self.firmware.parameters[message.param_id] = message.param_value
            self._tell_parameter(message.param_id)

    def _tell_parameter(self, name: str) -> None:
        parameters = self.firmware.parameters
        kind = common.MAV_PARAM_TYPE_REAL32
        index = list(parameters).index(name)
        self._send(
            common.MAVLink_param_value_message(
                name.encode(), parameters[name], kind, len(parameters), index
            )
        )


_READERS = {
    common.MAVLINK_MSG_ID_SET_ATTITUDE_TARGET: Px4Double._read_setpoint,
    common.MAVLINK_MSG_ID_COMMAND_LONG: Px4Double._read_command,
    common.MAVLINK_MSG_ID_TIMESYNC: Px4Double._read_timesync,
    common.MAVLINK_MSG_ID_PARAM_REQUEST_READ: Px4Double._read_parameter_request,
    common.MAVLINK_MSG_ID_PARAM_SET: Px4Double._set_parameter,
}
_COMMANDS = {
    common.MAV_CMD_DO_SET_MODE: Px4Double._change_mode,
    common.MAV_CMD_NAV_LAND: Px4Double._land,
    common.MAV_CMD_COMPONENT_ARM_DISARM: Px4Double._arm_or_disarm,
    common.MAV_CMD_SET_MESSAGE_INTERVAL: Px4Double._set_interval,
    common.MAV_CMD_REQUEST_MESSAGE: Px4Double._request_message,
    common.MAV_CMD_REQUEST_AUTOPILOT_CAPABILITIES: Px4Double._tell_version,
}
