"""Faults of a vehicle with firmware and a pilot of its own, behind `mavlink` and `px4`."""

from __future__ import annotations

from dataclasses import replace

from snn_controller.safety import Event, Mode
from snn_sim.doubles.px4 import firmware as px4_firmware
from snn_sim.faults.catalogue.telemetry import (
    BACK,
    BLIND,
    LANDED,
    LIMITS,
    NO_ARMING,
    TELEMETRY_FAULTS,
    arming_denied,
    clock_back,
)
from snn_sim.faults.harness.link_edits import (
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
from snn_sim.faults.harness.link_scene import DOWN, HOLDS
from snn_sim.faults.harness.scene import Demand, Fault

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
        once(act_on_firmware(lambda f, now: f.request_mode(px4_firmware.Mode.POSCTL, now))),
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
