"""What is known of a PX4 vehicle from px4_msgs, and its estimate as odometry. Pure but for memory.

Times come in us of the agent's clock, which is this machine's, or of the vehicle's own where it
does not synchronise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from snn_controller.flight_controllers.shared.mode_requests import (
    ACCEPTED,
    IN_PROGRESS,
    PX4_MODES,
    RESULTS,
    Modes,
)
from snn_controller.flight_controllers.shared.ned import largest_deviation, state_from_ned
from snn_controller.vehicle import FrameNames, Odometry

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
