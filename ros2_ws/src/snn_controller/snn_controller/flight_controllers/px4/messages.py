"""What this link and PX4 must agree on over uXRCE-DDS: topics, versions, fields. Pure.

PX4 and px4_msgs of another release disagree silently: a message is dropped, or read wrongly. So
versions (a suffix of the topic since PX4 1.16) and a hash over each message's fields (PX4 answers
for it since 1.15) are compared before anything is armed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from snn_controller.errors import UserError

# Message types by direction, and their topics without the version
FROM_VEHICLE = {
    "VehicleStatus": "fmu/out/vehicle_status",
    "VehicleOdometry": "fmu/out/vehicle_odometry",
    "VehicleCommandAck": "fmu/out/vehicle_command_ack",
    "VehicleLandDetected": "fmu/out/vehicle_land_detected",
    "BatteryStatus": "fmu/out/battery_status",
    "MessageFormatResponse": "fmu/out/message_format_response",
}
TO_VEHICLE = {
    "OffboardControlMode": "fmu/in/offboard_control_mode",
    "VehicleRatesSetpoint": "fmu/in/vehicle_rates_setpoint",
    "ActuatorMotors": "fmu/in/actuator_motors",
    "VehicleCommand": "fmu/in/vehicle_command",
    "MessageFormatRequest": "fmu/in/message_format_request",
}
# What would harm if it were read wrongly; the battery and the landing detector only inform.
CHECKED = (
    "VehicleStatus",
    "VehicleOdometry",
    "OffboardControlMode",
    "VehicleRatesSetpoint",
    "ActuatorMotors",
    "VehicleCommand",
)
NEEDED_FIELDS = {
    "OffboardControlMode": ("body_rate", "direct_actuator"),
    "VehicleStatus": ("nav_state", "arming_state", "failsafe", "pre_flight_checks_pass"),
    "VehicleOdometry": ("pose_frame", "velocity_frame", "timestamp_sample"),
    "VehicleRatesSetpoint": ("roll", "pitch", "yaw", "thrust_body"),
    "ActuatorMotors": ("control",),
    "VehicleCommand": ("command", "param1", "param2", "param3", "from_external"),
}
FORMAT_PROTOCOL = 1  # of MessageFormatRequest
MEND = "build the px4_msgs of the firmware's release in the workspace (git branch release/1.x)"
_HASH_START, _HASH_PRIME = 0x811C9DC5, 0x01000193  # FNV-1a, 32 bits
_PX4_TYPES = {"boolean": "bool", "float": "float32", "double": "float64"}


class Px4Bus(Protocol):
    """Carries px4_msgs messages; no call waits."""

    def publish(self, message: str, fields: Mapping[str, object]) -> None:
        """Send a message of a type with these fields; others are zero."""
        ...

    def receive(self) -> None:
        """Take in what has come."""
        ...

    def take(self, message: str) -> object | None:
        """Return the newest message of a type that was received since the last call."""
        ...

    def fields(self, message: str) -> Mapping[str, str] | None:
        """Return the fields and their ROS types, in order; None for a type that does not exist."""
        ...

    def version(self, message: str) -> int:
        """Return the type's MESSAGE_VERSION, 0 for one without."""
        ...

    def topics(self) -> Collection[str]:
        """Return the topics that somebody publishes or takes, as far as discovery knows."""
        ...

    def close(self) -> None:
        """Leave the bus."""
        ...


def topic_name(topic: str, version: int) -> str:
    """Return the name of a topic whose message has a version."""
    return f"/{topic}_v{version}" if version else f"/{topic}"


def message_hash(fields: Mapping[str, str]) -> int:
    """Return PX4's hash of a message from its fields and their ROS types, in order."""
    text = "".join(f"{_px4_type(kind)} {name}\n" for name, kind in fields.items())
    value = _HASH_START
    for byte in text.encode():
        value = (value ^ byte) * _HASH_PRIME % 2**32
    return value


def _px4_type(kind: str) -> str:
    """Return a ROS type, as `float[3]`, as PX4's definitions write it, as `float32[3]`."""
    base, bracket, size = kind.partition("[")
    return _PX4_TYPES.get(base, base) + bracket + size


def missing_definition(bus: Px4Bus) -> str:
    """Say which message or field px4_msgs lacks; "" for none."""
    for message in (*FROM_VEHICLE, *TO_VEHICLE):
        fields = bus.fields(message)
        if fields is None:
            return f"px4_msgs has no message {message}: {MEND}, 1.15 or later"
        for field in NEEDED_FIELDS.get(message, ()):
            if field not in fields:
                return f"px4_msgs/{message} has no field '{field}': {MEND}, 1.15 or later"
    return ""


def other_version(bus: Px4Bus) -> str:
    """Say which topic PX4 has in another version than px4_msgs; "" as far as none is seen."""
    seen = set(bus.topics())
    for message, topic in (FROM_VEHICLE | TO_VEHICLE).items():
        ours = topic_name(topic, bus.version(message))
        others = {
            name
            for name in seen
            if name == f"/{topic}" or name.removeprefix(f"/{topic}_v").isdecimal()
        } - {ours}
        # our own subscription makes our topic visible too, so only an other one tells
        if others and message in CHECKED:
            return f"PX4 has {others.pop()}, but px4_msgs here is for {ours}: {MEND}"
    return ""


ANSWER_TIME = 10.0  # s to wait for a vehicle, and for its answers about message formats
QUESTION_PERIOD = 0.3  # s


def await_px4(bus: Px4Bus, *, elapsed: Callable[[], float], sleep: Callable[[float], None]) -> None:
    """Wait until PX4 has been heard and every message has proved to be the same at both ends.

    Raises:
        UserError: It is not heard, or a message differs.
    """
    if reason := missing_definition(bus):
        raise UserError(reason)
    while bus.take("VehicleStatus") is None:
        if reason := other_version(bus):
            raise UserError(reason)
        if elapsed() > ANSWER_TIME:
            raise UserError(
                f"PX4 is not heard on {FROM_VEHICLE['VehicleStatus']} for {ANSWER_TIME:g} s: start"
                " the uXRCE-DDS agent, check ROS_DOMAIN_ID at both ends, and that px4_msgs is of"
                " the firmware's release"
            )
        sleep(0.02)
        bus.receive()
    for message in CHECKED:
        _check_format(bus, message, elapsed=elapsed, sleep=sleep)


def _check_format(
    bus: Px4Bus, message: str, *, elapsed: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """Ask PX4 for the hash of a message and compare it with ours."""
    fields = bus.fields(message)
    assert fields is not None
    topic = f"/{(FROM_VEHICLE | TO_VEHICLE)[message]}"
    start, asked = elapsed(), -QUESTION_PERIOD
    while elapsed() - start < ANSWER_TIME:
        if elapsed() - asked >= QUESTION_PERIOD:
            asked = elapsed()
            text = list(topic.encode().ljust(50, b"\0"))
            question = {"protocol_version": FORMAT_PROTOCOL, "topic_name": text}
            bus.publish("MessageFormatRequest", question)
        bus.receive()
        answer: Any = bus.take("MessageFormatResponse")
        if answer is not None and bytes(answer.topic_name).rstrip(b"\0").decode() == topic:
            if answer.success and answer.message_hash == message_hash(fields):
                return
            raise UserError(f"PX4 defines {message} otherwise than px4_msgs here: {MEND}")
        sleep(0.01)
    raise UserError(
        f"PX4 does not say how it defines {message}, which it does since 1.15: update the firmware,"
        " or fly it by link:=mavlink"
    )
