"""Whether PX4 is there and defines its messages as px4_msgs does, found out before arming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snn_controller.errors import UserError
from snn_controller.flight_controllers.px4.messages import (
    CHECKED,
    FORMAT_PROTOCOL,
    FROM_VEHICLE,
    MEND,
    TO_VEHICLE,
    Px4Bus,
    message_hash,
    missing_definition,
    other_version,
)

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
