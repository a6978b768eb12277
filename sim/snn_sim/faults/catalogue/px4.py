"""Faults of a vehicle with firmware and a pilot of its own, behind `mavlink` and `px4`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers import LinkOptions
from snn_controller.flight_controllers.px4 import Px4Link
from snn_controller.safety import Event, Mode
from snn_controller.vehicle import ActionKind, FlightController, State
from snn_sim.doubles.px4 import START, Lockstep, Px4Body, Px4Firmware, Px4Mode, Px4Stub
from snn_sim.doubles.px4 import firmware as px4_firmware
from snn_sim.faults.catalogue.shared import (
    BACK,
    BLIND,
    LANDED,
    LIMITS,
    NO_ARMING,
    TELEMETRY_FAULTS,
    arming_denied,
    clock_back,
)
from snn_sim.faults.edits import (
    act_on_firmware,
    ask_for,
    between,
    cut_wire,
    do_nothing,
    is_arming,
    jump_by,
    kill_controller,
    mute,
    never,
    once,
    reset_by,
    reset_on_and_on,
    restart_clock,
    set_firmware,
    shift_clock,
)
from snn_sim.faults.link_scene import DOWN, FALLS, FLIES, HOLDS, LANDS, OBEYS
from snn_sim.faults.scene import Demand, Fault

STILL = 0.2  # m/s, of a vehicle that holds its place
_MESSAGES = {  # MAVLink's and px4_msgs' names for what a vehicle may not send
    "heartbeat": (common.MAVLINK_MSG_ID_HEARTBEAT, "VehicleStatus"),
    "odometry": (common.MAVLINK_MSG_ID_ODOMETRY, "VehicleOdometry"),
    "position": (common.MAVLINK_MSG_ID_LOCAL_POSITION_NED, ""),
    "attitude": (common.MAVLINK_MSG_ID_ATTITUDE_QUATERNION, ""),
}


class Px4Linked:
    """What campaign and faults need of a PX4, whatever carries its messages."""

    def __init__(self, link: FlightController, body: Px4Body, firmware: Px4Firmware) -> None:
        """Look at a vehicle behind a link."""
        self.link, self.body, self.firmware = link, body, firmware

    @property
    def now(self) -> int:
        """Time in ns on the controller's clock."""
        return START + round(self.body.time * 1e9)

    @property
    def state(self) -> State:
        """Where it really is."""
        return self.body.state

    @property
    def driven(self) -> bool:
        """Whether its motors turn."""
        return self.body.driven

    @property
    def doing(self) -> str:
        """What it does, one of the words of `link_scene`."""
        firmware, body = self.firmware, self.body
        if not firmware.armed:
            return DOWN if body.on_ground else FALLS
        if firmware.mode is Px4Mode.OFFBOARD:
            return OBEYS
        if firmware.mode is Px4Mode.LAND:
            return LANDS
        return HOLDS if float(np.linalg.norm(body.state.velocity)) < STILL else FLIES

    def close(self) -> None:
        """Close its world."""
        self.body.close()


class MavlinkVehicle(Px4Linked):
    """The double behind a wire of datagrams."""

    def __init__(self, key: bytes | None = None) -> None:
        """Stand on the ground; with a key (32,), both ends sign."""
        self.pair = Lockstep(link_key=key, vehicle_key=key)
        super().__init__(self.pair.link, self.pair.double.body, self.pair.double.firmware)

    def advance(self, seconds: float) -> None:
        """Let it live for some time."""
        self.pair.advance(seconds)

    def cut(self, *, up: bool, down: bool) -> None:
        """Let nothing through to the vehicle (up), or from it (down)."""
        self.pair.wire.edit_up = _nothing if up else _everything
        self.pair.wire.edit_down = _nothing if down else _everything

    def mute(self, *messages: str) -> None:
        """Let the vehicle send some of its messages no more."""
        self.pair.double.muted = frozenset(_MESSAGES[name][0] for name in messages)


class BusVehicle(Px4Linked):
    """The same firmware behind px4_msgs, without DDS."""

    def __init__(self, kind: ActionKind = "thrust_rates") -> None:
        """Stand on the ground, to be commanded by one kind."""
        self.bus = Px4Stub()
        hover_thrust = self.bus.body.quadrotor.hover_throttle
        options = LinkOptions(hover_thrust=hover_thrust, thrust_curve=1.0)
        link = Px4Link(self.bus, options, kind, sleep=self.advance)
        super().__init__(link, self.bus.body, self.bus.firmware)

    def advance(self, seconds: float) -> None:
        """Let it live for some time."""
        for _ in range(max(1, round(seconds / self.bus.body.period))):
            self.bus.step()

    def cut(self, *, up: bool, down: bool) -> None:
        """Let nothing through to the vehicle (up), or from it (down)."""
        self.bus.deaf, self.bus.silent = up, down

    def mute(self, *messages: str) -> None:
        """Let the vehicle send some of its messages no more."""
        self.bus.muted = frozenset(_MESSAGES[name][1] for name in messages)


def _nothing(_: list[bytes]) -> list[bytes]:
    return []


def _everything(data: list[bytes]) -> list[bytes]:
    return data


LOSS = 0.5 + 0.03  # s, COM_OF_LOSS_T and three ticks
HOLD_UP = LIMITS.odometry_timeout + LIMITS.link_timeout  # s until a lost vehicle is left alone
REPORT = 0.2  # s at most until the vehicle tells of a mode
LEFT = Demand(Mode.PILOT, Mode.PILOT, vehicle=HOLDS)
SHORT = 30  # ticks

WIRE_FAULTS = (
    Fault("none", do_nothing, None, LANDED, exceeded=never, seconds=20.0),
    Fault(
        "wire cut",
        once(cut_wire(up=True, down=True)),
        "silence",
        Demand(Mode.DESCENT, Mode.PILOT, vehicle=HOLDS, own_within=LOSS),
        window=LIMITS.odometry_timeout,
        then="link",
    ),
    Fault(
        "wire cut for 2 s",
        between(cut_wire(up=True, down=True), 2.0, cut_wire(up=False, down=False)),
        "silence",
        Demand(Mode.DESCENT, Mode.PILOT, vehicle=HOLDS, own_within=LOSS),
        window=LIMITS.odometry_timeout,
        then="link",
    ),
    Fault(
        "wire cut for 0.2 s",
        between(cut_wire(up=True, down=True), 0.2, cut_wire(up=False, down=False)),
        "silence",
        BACK,
        window=LIMITS.odometry_timeout,
    ),
    Fault(
        "commands lost",
        once(cut_wire(up=True, down=False)),
        "mode",
        replace(LEFT, own_within=LOSS),
        window=LOSS + 0.1,
    ),
    Fault(
        "telemetry lost",
        once(cut_wire(up=False, down=True)),
        "silence",
        Demand(Mode.DESCENT, Mode.PILOT, vehicle=HOLDS, own_within=HOLD_UP + LOSS),
        window=LIMITS.odometry_timeout,
        then="link",
    ),
    Fault(
        "controller killed",
        kill_controller,
        None,
        Demand(Mode.POLICY, Mode.POLICY, vehicle=HOLDS, own_within=LOSS),
        exceeded=never,
    ),
)
MESSAGE_FAULTS = (
    Fault(
        "odometry lost, heartbeat lives",
        once(mute("odometry", "position", "attitude")),
        "silence",
        BLIND,
        window=LIMITS.odometry_timeout,
    ),
    *TELEMETRY_FAULTS,
    Fault("estimator reset by 1 m", once(reset_by(0.8, -0.6, 0.0)), None, LANDED, exceeded=never),
    Fault(
        "estimator reset by 0.8 m of height",
        once(reset_by(0.0, 0.0, -0.8)),
        None,
        LANDED,
        exceeded=never,
    ),
    Fault(
        "estimator reset by 1 rad of heading",
        once(reset_by(0.0, 0.0, 0.0, heading=1.0)),
        None,
        LANDED,
        exceeded=never,
    ),
    Fault("estimator reset again and again", reset_on_and_on, "jump", BACK, window=0.5),
    Fault("position jumps 1 m, unannounced", once(jump_by(0.8, -0.6, 0.0)), "jump", BACK),
    Fault("vehicle's clock 1 h ahead", once(shift_clock(3600.0)), None, LANDED, exceeded=never),
    Fault("vehicle's clock starts anew", once(restart_clock), None, LANDED, exceeded=never),
)
FIRMWARE_FAULTS = (
    Fault(
        "pilot changes the mode",
        once(act_on_firmware(lambda f, now: f.request_mode(px4_firmware.Px4Mode.POSCTL, now))),
        "mode",
        LEFT,
        window=REPORT,
    ),
    Fault(
        "vehicle disarms itself",
        once(act_on_firmware(lambda f, _: f.request_disarming(force=True))),
        "mode",
        replace(LEFT, vehicle=DOWN),
        window=REPORT,
    ),
    Fault(
        "OFFBOARD refused",
        once(set_firmware("refuses_offboard", True)),
        "vehicle",
        NO_ARMING,
        from_start=True,
        window=10.0,
        words="mode OFFBOARD temporarily rejected",
        exceeded=is_arming,
        seconds=20.0,
    ),
    Fault("operator lands", once(ask_for(Event.LAND)), None, LANDED),
    Fault(
        "operator kills",
        once(ask_for(Event.KILL)),
        "ended",
        Demand(Mode.KILLED, Mode.KILLED, vehicle=DOWN, own_within=0.03),
    ),
    Fault(
        "operator leaves it to the pilot",
        once(ask_for(Event.HAND_OVER)),
        None,
        replace(LEFT, own_within=LOSS),
    ),
)
AUTOPILOT_FAULTS = (*WIRE_FAULTS, *MESSAGE_FAULTS, *FIRMWARE_FAULTS)
PX4_FAULTS = (
    *AUTOPILOT_FAULTS,
    Fault(
        "status lost, odometry lives",
        once(mute("heartbeat")),
        "mode",
        replace(LEFT, own_within=1.0 + LOSS),
        window=1.0,
        plan={"duration": 10.0},
    ),
    arming_denied("no compass", words="pre-flight checks fail"),
    clock_back(shift_clock(-0.5), replace(BACK, other_end=Mode.KILLED)),
)
