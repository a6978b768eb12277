"""PX4 behind a bus without DDS, in lockstep: our drone, and messages as px4_msgs 1.16 has them.

The fields are written down from PX4's message reference (docs.px4.io, release 1.16); of long
messages those that the link reads. What commands
modes and arming is `firmware`; unlike a real PX4, which obeys setpoints in every mode, the
stub counts those that come outside of OFFBOARD.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import SimpleNamespace

import numpy as np

from snn_controller.flight_controllers.px4 import FROM_VEHICLE, TO_VEHICLE, message_hash
from snn_controller.vehicle import load_quadrotor
from snn_sim.doubles.px4.firmware import UNSUPPORTED, OwnFlight, Px4Body, Px4Firmware, Px4Mode
from snn_sim.doubles.px4.mavlink_vehicle import attitude_wxyz

NAV_STATES = {
    Px4Mode.MANUAL: 0,
    Px4Mode.POSCTL: 2,
    Px4Mode.HOLD: 4,
    Px4Mode.OFFBOARD: 14,
    Px4Mode.LAND: 18,
}
STATUS_PERIOD = 0.2  # s
SAMPLE = "uint64"  # of a time in us


def _all(kind: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, kind)


DEFINITIONS: dict[str, dict[str, str]] = {
    "OffboardControlMode": _all(SAMPLE, "timestamp")
    | _all("boolean", "position", "velocity", "acceleration", "attitude", "body_rate")
    | _all("boolean", "thrust_and_torque", "direct_actuator"),
    "VehicleRatesSetpoint": _all(SAMPLE, "timestamp")
    | _all("float", "roll", "pitch", "yaw")
    | {"thrust_body": "float[3]", "reset_integral": "boolean"},
    "ActuatorMotors": _all(SAMPLE, "timestamp", "timestamp_sample")
    | {"reversible_flags": "uint16", "control": "float[12]"},
    "VehicleCommand": _all(SAMPLE, "timestamp")
    | _all("float", "param1", "param2", "param3", "param4")
    | _all("double", "param5", "param6")
    | {"param7": "float", "command": "uint32"}
    | _all("uint8", "target_system", "target_component", "source_system")
    | {"source_component": "uint16", "confirmation": "uint8", "from_external": "boolean"},
    "VehicleOdometry": _all(SAMPLE, "timestamp", "timestamp_sample")
    | {"pose_frame": "uint8", "position": "float[3]", "q": "float[4]", "velocity_frame": "uint8"}
    | _all("float[3]", "velocity", "angular_velocity", "position_variance")
    | _all("float[3]", "orientation_variance", "velocity_variance")
    | {"reset_counter": "uint8", "quality": "int8"},
    "VehicleStatus": _all(SAMPLE, "timestamp", "armed_time", "takeoff_time")
    | _all("uint8", "arming_state", "nav_state", "vehicle_type", "system_id")
    | _all("boolean", "failsafe", "pre_flight_checks_pass"),
    "VehicleCommandAck": _all(SAMPLE, "timestamp") | {"command": "uint32", "result": "uint8"},
    "VehicleLandDetected": _all(SAMPLE, "timestamp") | _all("boolean", "landed"),
    "BatteryStatus": _all(SAMPLE, "timestamp") | {"connected": "boolean", "voltage_v": "float"},
    "MessageFormatRequest": _all(SAMPLE, "timestamp")
    | {"protocol_version": "uint16", "topic_name": "uint8[50]"},
    "MessageFormatResponse": _all(SAMPLE, "timestamp")
    | {"protocol_version": "uint16", "topic_name": "uint8[50]"}
    | {"success": "boolean", "message_hash": "uint32"},
}
VERSIONS = {"VehicleStatus": 1}


class Px4Stub:
    """A `Px4Bus` with PX4 and a drone at its other end."""

    def __init__(self, airframe: str = "crazyflie21") -> None:
        self.body = Px4Body(load_quadrotor(airframe))
        self.firmware = Px4Firmware()
        self._own = OwnFlight(self.body, self.firmware)
        self.definitions = {name: dict(fields) for name, fields in DEFINITIONS.items()}
        self.hashes = {name: message_hash(fields) for name, fields in DEFINITIONS.items()}
        self.seen: set[str] = set()
        self.silent = self.closed = False
        self.vehicle_type = 1  # a multirotor
        self.ungated = 0  # setpoints outside of OFFBOARD, or before arming
        self.published: list[str] = []
        self.deaf = False  # nothing gets through to it
        self.muted: frozenset[str] = frozenset()  # messages that it does not send
        self._newest: dict[str, SimpleNamespace] = {}
        self._setpoint: tuple[str, np.ndarray] = ("", np.zeros(4))
        self._status_due = 0.0

    # The bus

    def publish(self, message: str, fields: Mapping[str, object]) -> None:
        """Take a message from the link."""
        assert set(fields) <= set(self.definitions[message])
        self.published.append(message)
        sample = SimpleNamespace(**fields)
        if self.deaf:
            return
        if message == "OffboardControlMode":
            assert sample.body_rate != sample.direct_actuator
            self.firmware.take_setpoint(self.body.time)
        elif message == "VehicleCommand":
            self._obey(sample)
        elif message == "MessageFormatRequest":
            self._tell_format(sample)
        else:
            open_gate = self.firmware.armed and self.firmware.mode is Px4Mode.OFFBOARD
            self.ungated += not open_gate
            self._take_setpoint(message, sample)

    def receive(self) -> None:
        """Do nothing: messages come by `step`."""

    def take(self, message: str) -> object | None:
        """Give the newest message of a type."""
        return None if self.silent else self._newest.pop(message, None)

    def fields(self, message: str) -> Mapping[str, str] | None:
        """Return a type's fields."""
        return self.definitions.get(message)

    def version(self, message: str) -> int:
        """Return a type's version."""
        return VERSIONS.get(message, 0)

    def topics(self) -> Collection[str]:
        """Return the topics that somebody takes."""
        return self.seen

    def close(self) -> None:
        """Note that the link has left."""
        self.closed = True

    # The vehicle

    def step(self) -> None:
        """Advance one period of the body, and say what is new."""
        body, firmware = self.body, self.firmware
        kind, values = self._setpoint
        lift = values if kind == "ActuatorMotors" else values[:1]
        lifted = firmware.mode is not Px4Mode.OFFBOARD or bool((np.nan_to_num(lift) > 0.0).any())
        thrust = firmware.armed and lifted and not self._own.is_down
        firmware.watch(body.time, on_ground=body.on_ground, thrust=thrust)
        if not self._own.step():
            self._obey_setpoint(kind, values)
        self._tell()

    def _obey_setpoint(self, kind: str, values: np.ndarray) -> None:
        if kind == "ActuatorMotors":
            self.body.drive(np.nan_to_num(values))
        else:
            self.body.step(values[0], values[1:])

    def _take_setpoint(self, message: str, sample: SimpleNamespace) -> None:
        if message == "ActuatorMotors":
            front_right, rear_left, front_left, rear_right, *spare = sample.control
            assert len(spare) == 8 and np.isnan(spare).all()
            values = np.array([front_right, rear_right, rear_left, front_left])  # M1..M4
        else:
            assert sample.thrust_body[:2] == [0.0, 0.0]
            rates = [sample.roll, -sample.pitch, -sample.yaw]
            values = np.array([-sample.thrust_body[2], *rates])
        self._setpoint = message, values

    def _obey(self, sample: SimpleNamespace) -> None:
        now = self.body.time
        result = UNSUPPORTED
        if sample.command == 176 and sample.param1 == 1.0:
            custom = int(sample.param2) << 16 | int(sample.param3) << 24
            result = self.firmware.request_mode(custom, now)
        elif sample.command == 400 and sample.param1 == 1.0:
            result = self.firmware.request_arming(now)
        elif sample.command == 400:
            force = getattr(sample, "param2", 0.0) == 21196.0
            result = self.firmware.request_disarming(force=force)
        self._say("VehicleCommandAck", command=sample.command, result=result)

    def _tell_format(self, sample: SimpleNamespace) -> None:
        topic = bytes(sample.topic_name).rstrip(b"\0").decode().removeprefix("/")
        names = {topic: name for name, topic in (FROM_VEHICLE | TO_VEHICLE).items()}
        if self.hashes:
            self._say(
                "MessageFormatResponse",
                topic_name=sample.topic_name,
                success=True,
                message_hash=self.hashes[names[topic]],
            )

    def _tell(self) -> None:
        body, firmware = self.body, self.firmware
        if body.time >= self._status_due:
            self._status_due += STATUS_PERIOD
            self._say(
                "VehicleStatus",
                arming_state=2 if firmware.armed else 1,
                nav_state=NAV_STATES[firmware.mode],
                failsafe=firmware.failsafe,
                vehicle_type=self.vehicle_type,
                system_id=1,
                pre_flight_checks_pass=not firmware.prearm_failure,
            )
            self._say("VehicleLandDetected", landed=firmware.landed)
            self._say("BatteryStatus", connected=True, voltage_v=body.battery)
        state = body.estimate
        (east, north, up), (ve, vn, vu) = state.position, state.velocity
        wx, wy, wz = state.body_rates
        self._say(
            "VehicleOdometry",
            timestamp_sample=round(body.told_time * 1e6) + 1,
            pose_frame=1,
            velocity_frame=1,
            position=np.array([north, east, -up], dtype=np.float32),
            q=np.array(attitude_wxyz(state), dtype=np.float32),
            velocity=np.array([vn, ve, -vu], dtype=np.float32),
            angular_velocity=np.array([wx, -wy, -wz], dtype=np.float32),
            position_variance=np.array([0.01, 0.04, math.nan], dtype=np.float32),
            orientation_variance=np.full(3, 1e-4, dtype=np.float32),
            velocity_variance=np.full(3, math.nan, dtype=np.float32),
            reset_counter=body.resets % 256,
        )

    def _say(self, message: str, **fields: object) -> None:
        assert set(fields) <= set(self.definitions[message])
        if message in self.muted:
            return
        self._newest[message] = SimpleNamespace(timestamp=0, **fields)
