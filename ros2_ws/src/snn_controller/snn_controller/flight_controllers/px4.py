"""The `px4` link: motors, or body rates and thrust, over uXRCE-DDS (px4_msgs).

PX4 obeys setpoint topics whatever its mode, so setpoints are published only while it is armed and
in OFFBOARD; until then a stream of OffboardControlMode shows that somebody is there. ROS-free: the
messages come and go by a `Px4Bus`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from snn_controller.action import ActionKind, Command
from snn_controller.errors import UserError
from snn_controller.flight_controllers import LinkStatus
from snn_controller.flight_controllers.links import LinkOptions
from snn_controller.flight_controllers.own_estimate import OwnEstimate
from snn_controller.flight_controllers.pursuit import Pursuit, Wish
from snn_controller.flight_controllers.px4_contract import (
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
from snn_controller.flight_controllers.px4_vehicle import Px4Vehicle, odometry_from_px4
from snn_controller.flight_controllers.vehicle_clock import VehicleClock
from snn_controller.frames import swap_flu_frd
from snn_controller.guards.limits import FrameNames
from snn_controller.state import Odometry

ACTION_KINDS: frozenset[ActionKind] = frozenset({"motors", "thrust_rates"})
ANSWER_TIME = 10.0  # s to wait for a vehicle, and for its answers about message formats
QUESTION_PERIOD = 0.3  # s
SILENCE = 1_000_000_000  # ns without a status after which nothing is published: it may be stale
SAME_CLOCK = 500_000_000  # ns between stamp and arrival that still are of one clock
CLOSE_TIME = 0.2  # s
CLOSE_STEP = 0.01  # s
# PX4's quad x numbers its motors front right, rear left, front left, rear right; ours go round.
_PX4_ORDER = (0, 2, 3, 1)
_MOTORS = 12  # entries of ActuatorMotors.control; NaN stops a motor
_OUR_SYSTEM, _OUR_COMPONENT, _AUTOPILOT = 1, 191, 1


class Px4Link:
    """A `FlightController` over px4_msgs."""

    name = "px4"
    action_kinds = ACTION_KINDS
    has_pilot = True  # or the firmware's own failsafe, which acts when the stream stops

    def __init__(
        self,
        bus: Px4Bus,
        options: LinkOptions,
        kind: ActionKind,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Speak over a bus whose messages have been checked.

        Args:
            bus: Carries the messages.
            options: Throttle at hover and frames of the odometry.
            kind: What is commanded.
            sleep: Lets time pass in `close`.
        """
        self.vehicle = Px4Vehicle()
        self._bus = bus
        self._estimate = OwnEstimate(options)
        self._kind = kind
        self._sleep = sleep
        self._names = FrameNames(options.world_frame, options.body_frame)
        self._clock = VehicleClock()
        self._pursuit = Pursuit()
        self._now = 0
        self._heard: int | None = None  # ns, when any message came last

    def poll(self, now: int) -> LinkStatus:
        """Take in what has come, ask for what is wished for, and tell."""
        self._now = now
        self._heard = now if self._heard is None else self._heard
        odometry = self._take_in(now)
        if odometry is not None:
            flying = self._is_gate_open and self._kind != "motors"
            odometry = self._estimate.tell(odometry, flying=flying, armed=self.vehicle.armed)
        self._pursue(now)
        vehicle = self.vehicle
        return LinkStatus(
            age=(now - self._heard) * 1e-9,
            armed=vehicle.armed,
            in_control=vehicle.takes_setpoints and self._pursuit.wish is not Wish.NOTHING,
            mode=vehicle.mode,
            refusal=self._refusal(),
            battery=vehicle.battery,
            odometry=odometry,
        )

    def arm(self) -> None:
        """Ask for OFFBOARD as soon as the stream has run for a while, then for arming."""
        self._estimate.start()
        self._want(Wish.CONTROL)

    def send(self, command: Command, stamp: int) -> None:
        """Show that somebody is there, and publish the command if PX4 is armed and in OFFBOARD."""
        if self._pursuit.wish in (Wish.NOTHING, Wish.LAND):
            return
        self._pursuit.note_setpoint(self._now)
        self._publish(
            "OffboardControlMode",
            {"direct_actuator": self._kind == "motors", "body_rate": self._kind != "motors"},
        )
        if not self._is_gate_open:
            return
        stop = command.stop or command.kind != self._kind or self._pursuit.wish is Wish.KILL
        values = command.values.tolist()
        self._publish_setpoint(None if stop or not math.isfinite(sum(values)) else values)

    def disarm(self) -> None:
        """Ask for disarming, which PX4 refuses in the air."""
        self._want(Wish.DISARM)

    def kill(self) -> None:
        """Disarm by force, in the air too, and again until PX4 says that it has."""
        self._want(Wish.KILL)
        self._pursue(self._now)

    def hand_back(self) -> None:
        """Publish nothing and ask for nothing: PX4 leaves OFFBOARD by itself."""
        self._want(Wish.NOTHING)

    def close(self) -> None:
        """Disarm on the ground; in the air let PX4 land, which is never a drop."""
        wish = self._pursuit.wish
        if wish in (Wish.NOTHING, Wish.LAND):
            return
        if wish is not Wish.KILL:
            self._want(Wish.DISARM if self.vehicle.landed else Wish.LAND)
        start = self._now
        for step in range(round(CLOSE_TIME / CLOSE_STEP)):
            if self._pursuit.is_over(self.vehicle):
                break
            self.poll(start + round(step * CLOSE_STEP * 1e9))
            self._sleep(CLOSE_STEP)
        self._want(Wish.NOTHING)

    def release(self) -> None:
        """Leave the bus."""
        self._want(Wish.NOTHING)
        self._bus.close()

    @property
    def description(self) -> str:
        """What is flown, for people."""
        return f"PX4 by uXRCE-DDS, {self._kind}"

    @property
    def _is_gate_open(self) -> bool:
        """Whether PX4 is armed and in OFFBOARD, as far as a fresh status tells."""
        vehicle = self.vehicle
        fresh = vehicle.heard is not None and self._now - vehicle.heard < SILENCE
        return fresh and vehicle.armed and vehicle.takes_setpoints

    def _want(self, wish: Wish) -> None:
        self._pursuit.want(wish)
        self.vehicle.refusals.clear()

    def _take_in(self, now: int) -> Odometry | None:
        self._bus.receive()
        vehicle = self.vehicle
        if (status := self._take("VehicleStatus", now)) is not None:
            vehicle.take_status(status, now)
        if (answer := self._take("VehicleCommandAck", now)) is not None:
            vehicle.take_answer(answer)
        if (battery := self._take("BatteryStatus", now)) is not None:
            vehicle.take_battery(battery)
        if (landed := self._take("VehicleLandDetected", now)) is not None:
            vehicle.landed = bool(landed.landed)
        if (sample := self._take("VehicleOdometry", now)) is None:
            return None
        return odometry_from_px4(sample, self._stamp(sample, now), self._names)

    def _take(self, message: str, now: int) -> Any:
        newest = self._bus.take(message)
        if newest is not None:
            self._heard = now
        return newest

    def _stamp(self, sample: Any, now: int) -> int:
        """Return our time in ns of a sample, which PX4 stamps by the agent's clock or its own."""
        stamp = int(sample.timestamp_sample or sample.timestamp) * 1000
        return min(stamp, now) if abs(now - stamp) < SAME_CLOCK else self._clock.to_node(stamp, now)

    def _pursue(self, now: int) -> None:
        asked = self._pursuit.advance(self.vehicle, now)
        if asked is None:
            return
        request, repetition = asked
        numbers = dict(zip(("param1", "param2", "param3"), request.parameters, strict=False))
        self._publish(
            "VehicleCommand",
            {
                **numbers,
                "command": request.command,
                "target_system": self.vehicle.system,
                "target_component": _AUTOPILOT,
                "source_system": _OUR_SYSTEM,
                "source_component": _OUR_COMPONENT,
                "confirmation": min(repetition, 255),
                "from_external": True,
            },
        )

    def _refusal(self) -> str:
        if not self.vehicle.rotary_wing:
            return "the vehicle is not a multirotor; check PX4's airframe"
        return self._pursuit.refusal(self.vehicle)

    def _publish_setpoint(self, values: list[float] | None) -> None:
        """Publish values of our kind, or a stop for None."""
        if self._kind == "motors":
            throttle = [math.nan] * 4 if values is None else [values[at] for at in _PX4_ORDER]
            spare = [math.nan] * (_MOTORS - len(throttle))
            self._publish("ActuatorMotors", {"control": throttle + spare})
            return
        thrust, *rates = [0.0] * 4 if values is None else values
        throttle = self._estimate.throttle(thrust)
        roll, pitch, yaw = swap_flu_frd(rates).tolist()
        self._publish(
            "VehicleRatesSetpoint",
            {"roll": roll, "pitch": pitch, "yaw": yaw, "thrust_body": [0.0, 0.0, -throttle]},
        )

    def _publish(self, message: str, fields: Mapping[str, object]) -> None:
        self._bus.publish(message, {"timestamp": self._now // 1000, **fields})


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
