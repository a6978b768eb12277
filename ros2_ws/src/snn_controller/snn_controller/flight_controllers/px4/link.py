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

from snn_controller.flight_controllers.px4.messages import Px4Bus
from snn_controller.flight_controllers.px4.vehicle import Px4Vehicle, odometry_from_px4
from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.flight_controllers.shared.autopilot import AutopilotLink
from snn_controller.flight_controllers.shared.clock import VehicleClock
from snn_controller.flight_controllers.shared.mode_requests import Request, Wish
from snn_controller.vehicle import ActionKind, FrameNames, LinkStatus, Odometry, swap_flu_frd

ACTION_KINDS: frozenset[ActionKind] = frozenset({"motors", "thrust_rates"})
SAME_CLOCK = 500_000_000  # ns between stamp and arrival that still are of one clock
# PX4's quad x numbers its motors front right, rear left, front left, rear right; ours go round.
_PX4_ORDER = (0, 2, 3, 1)
_MOTORS = 12  # entries of ActuatorMotors.control; NaN stops a motor
_OUR_SYSTEM, _OUR_COMPONENT, _AUTOPILOT = 1, 191, 1


class Px4Link(AutopilotLink[Px4Vehicle]):
    """A `FlightController` over px4_msgs."""

    name = "px4"
    action_kinds = ACTION_KINDS

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
        self._pursue(now)
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
