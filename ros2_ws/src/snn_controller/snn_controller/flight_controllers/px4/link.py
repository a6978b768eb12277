"""The `px4` link: motors, or body rates and thrust, over uXRCE-DDS (px4_msgs).

PX4 obeys setpoint topics whatever its mode, so setpoints are published only while it is armed and
in OFFBOARD; until then a stream of OffboardControlMode shows that somebody is there. ROS-free: the
messages come and go by a `Px4Bus`.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from snn_controller.flight_controllers.px4.messages import Px4Bus
from snn_controller.flight_controllers.registry import ALL_KINDS, LinkOptions
from snn_controller.flight_controllers.shared.autopilot import (
    ACCEPTED,
    IN_PROGRESS,
    PX4_MODES,
    RESULTS,
    AutopilotLink,
    Modes,
    Request,
    Wish,
)
from snn_controller.flight_controllers.shared.estimate import (
    VehicleClock,
    largest_deviation,
    state_from_ned,
)
from snn_controller.vehicle import ActionKind, FrameNames, LinkStatus, Odometry, swap_flu_frd

ARMED = 2  # arming_state
OFFBOARD, TERMINATION = 14, 13  # nav_state
ROTARY_WING = 1  # vehicle_type
SILENCE = 1_000_000_000  # ns without a status after which nobody knows what it obeys
_NAV_STATES = {
    0: "MANUAL",
    1: "ALTCTL",
    2: "POSCTL",
    3: "AUTO.MISSION",
    4: "AUTO.LOITER",
    5: "AUTO.RTL",
    6: "POSITION_SLOW",
    10: "ACRO",
    12: "DESCEND",
    13: "TERMINATION",
    14: "OFFBOARD",
    15: "STABILIZED",
    17: "AUTO.TAKEOFF",
    18: "AUTO.LAND",
    19: "AUTO.FOLLOW",
    20: "AUTO.PRECLAND",
    21: "ORBIT",
}
_POSE_FRAMES = (1, 2)  # NED, and FRD of an unknown heading
_VELOCITY_FRAMES, _BODY_VELOCITY = (1, 2, 3), 3
_CHECKS_FAIL = "its pre-flight checks fail; a ground station names them"


@dataclass
class Px4Vehicle:
    """An `Autopilot`, as its own messages tell."""

    heard: int | None = None  # ns, when its status came last
    armed: bool = False
    nav_state: int = 0
    failsafe: bool = False
    rotary_wing: bool = True
    airborne: bool = False
    battery: float | None = None  # V
    system: int = 1
    refusals: dict[int, str] = field(default_factory=dict)
    words: deque[str] = field(default_factory=lambda: deque(maxlen=3))

    @property
    def modes(self) -> Modes | None:
        """How to ask for its modes, once it has been heard."""
        return None if self.heard is None else PX4_MODES

    def is_fresh(self, now: int) -> bool:
        """Whether a status is young enough at a time in ns to know what it obeys."""
        return self.heard is not None and now - self.heard < SILENCE

    @property
    def takes_setpoints(self) -> bool:
        """Whether its mode flies what is published."""
        return self.nav_state == OFFBOARD

    @property
    def mode(self) -> str:
        """Its mode in PX4's words."""
        if self.heard is None:
            return ""
        name = _NAV_STATES.get(self.nav_state, f"nav_state {self.nav_state}")
        return name + (" (failsafe)" if self.armed and self.failsafe else "")

    def take_status(self, message: Any, now: int) -> None:
        """Read VehicleStatus."""
        self.heard = now
        self.armed = message.arming_state == ARMED
        self.nav_state = int(message.nav_state)
        self.failsafe = bool(message.failsafe)
        self.rotary_wing = message.vehicle_type == ROTARY_WING
        self.system = int(message.system_id)
        self.words.clear()
        if not message.pre_flight_checks_pass and not self.armed:
            self.words.append(_CHECKS_FAIL)

    def take_answer(self, message: Any) -> None:
        """Read VehicleCommandAck."""
        command, result = int(message.command), int(message.result)
        if result == ACCEPTED:
            self.refusals.pop(command, None)
        elif result != IN_PROGRESS:
            self.refusals[command] = RESULTS.get(result, f"answered {result}")

    def take_landed(self, message: Any) -> None:
        """Read VehicleLandDetected."""
        self.airborne = not message.landed

    def take_battery(self, message: Any) -> None:
        """Read BatteryStatus."""
        voltage = float(message.voltage_v)
        self.battery = voltage if message.connected and voltage > 0.0 else None

    def forget_answers(self) -> None:
        """Forget what it refused; its words are those of its newest status."""
        self.refusals.clear()


def odometry_from_px4(message: Any, stamp: int, names: FrameNames) -> Odometry:
    """Read VehicleOdometry taken at `stamp` in ns; the guards judge what is not understood."""
    return Odometry(
        stamp=stamp,
        frame=_name(message.pose_frame, _POSE_FRAMES, names.world_frame),
        child_frame=_name(message.velocity_frame, _VELOCITY_FRAMES, names.body_frame),
        state=state_from_ned(
            message.position,
            message.q,
            message.velocity,
            message.angular_velocity,
            velocity_in_body=message.velocity_frame == _BODY_VELOCITY,
        ),
        position_deviation=largest_deviation(message.position_variance),
        attitude_deviation=largest_deviation(message.orientation_variance),
        velocity_deviation=largest_deviation(message.velocity_variance),
        resets=int(getattr(message, "reset_counter", 0)),
    )


def _name(frame: int, known: tuple[int, ...], ours: str) -> str:
    return ours if frame in known else f"PX4 frame {int(frame)}"


SAME_CLOCK = 500_000_000  # ns between stamp and arrival that still are of one clock
# PX4's quad x numbers its motors front right, rear left, front left, rear right; ours go round.
_PX4_ORDER = (0, 2, 3, 1)
_MOTORS = 12  # entries of ActuatorMotors.control; NaN stops a motor
_OUR_SYSTEM, _OUR_COMPONENT, _AUTOPILOT = 1, 191, 1


class Px4Link(AutopilotLink[Px4Vehicle]):
    """A `FlightController` over px4_msgs."""

    name = "px4"
    action_kinds = ALL_KINDS

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
        super().__init__(Px4Vehicle(), options, kind, sleep)
        self._bus = bus
        self._names = FrameNames(options.world_frame, options.body_frame)
        self._clock = VehicleClock()
        self._heard: int | None = None  # ns, when any message came last

    def poll(self, now: int) -> LinkStatus:
        """Take in what has come, ask for what is wished for, and tell."""
        self._now = now
        self._heard = now if self._heard is None else self._heard
        odometry = self._take_in(now)
        if odometry is not None:
            flying = self._is_gate_open and self._kind != "motors"
            odometry = self._estimate.tell(odometry, flying=flying, armed=self.vehicle.armed)
        self._request_on(now)
        vehicle = self.vehicle
        return LinkStatus(
            age=(now - self._heard) * 1e-9,
            armed=vehicle.armed,
            in_control=self._is_in_control and vehicle.is_fresh(now),
            mode=vehicle.mode,
            refusal=self._refusal(),
            battery=vehicle.battery,
            odometry=odometry,
        )

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
        return vehicle.is_fresh(self._now) and vehicle.armed and vehicle.takes_setpoints

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
            vehicle.take_landed(landed)
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

    def _ask(self, request: Request, repetition: int) -> None:
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

    def _objection(self) -> str:
        if self.vehicle.rotary_wing:
            return ""
        return "the vehicle is not a multirotor; check PX4's airframe"

    def _send_values(self, values: list[float] | None) -> None:
        """Show that somebody is there, and command PX4 if it is armed and in OFFBOARD."""
        motors = self._kind == "motors"
        self._publish("OffboardControlMode", {"direct_actuator": motors, "body_rate": not motors})
        if self._is_gate_open:
            self._publish_setpoint(values)

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
