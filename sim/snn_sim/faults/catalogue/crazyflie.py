"""Faults behind the link `crazyflie`: firmware without a pilot, which levels and then locks."""

from __future__ import annotations

from dataclasses import replace

from snn_controller.safety import Event, Mode
from snn_sim.faults.catalogue.telemetry import (
    BACK,
    BLIND,
    LANDED,
    LIMITS,
    NO_ARMING,
    TELEMETRY_FAULTS,
    clock_back,
)
from snn_sim.faults.harness.link_edits import (
    Edit,
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
)
from snn_sim.faults.harness.link_scene import DOWN, LinkScene
from snn_sim.faults.harness.scene import ANY, Demand, Fault

LEVEL = 0.53  # s, the firmware's watchdog and three ticks
LEFT = Demand(Mode.PILOT, Mode.PILOT, vehicle=DOWN)
LOSS = 0.1  # share of frames that are lost


def _lose(scene: LinkScene) -> None:
    """Lose some of the frames from now on, both ways."""
    rng, radio = scene.rng, scene.vehicle.radio
    radio.edit_up = radio.edit_down = lambda frames: [f for f in frames if rng.random() >= LOSS]


def _lock(scene: LinkScene) -> None:
    scene.vehicle.firmware.supervisor.stop()


def _shift_clock(milliseconds: int) -> Edit:
    def apply(scene: LinkScene) -> None:
        scene.vehicle.firmware.clock_shift += milliseconds

    return apply


def _is_locked(scene: LinkScene) -> bool:
    return scene.vehicle.firmware.supervisor.phase.value == "locked"


CRAZYFLIE_FAULTS = (
    Fault("none", do_nothing, None, LANDED, exceeded=never, seconds=20.0),
    Fault(
        "radio lost",
        once(cut_wire(up=True, down=True)),
        "silence",
        replace(BLIND, own_within=LEVEL),
        window=LIMITS.odometry_timeout,
    ),
    Fault(
        "radio lost for 0.2 s",
        between(cut_wire(up=True, down=True), 0.2, cut_wire(up=False, down=False)),
        "silence",
        BACK,
        window=LIMITS.odometry_timeout,
    ),
    Fault(
        "commands lost",
        once(cut_wire(up=True, down=False)),
        ANY,  # its supervisor locks, or it has sunk to the ground before
        Demand(
            Mode.PILOT,
            Mode.PILOT,
            other_reaction=Mode.KILLED,
            other_end=Mode.KILLED,
            vehicle=DOWN,
            own_within=LEVEL,
        ),
        exceeded=_is_locked,
        window=0.02,
        plan={"duration": 10.0},
    ),
    Fault(
        "telemetry lost",
        once(cut_wire(up=False, down=True)),
        "silence",
        BLIND,
        window=LIMITS.odometry_timeout,
    ),
    Fault("a tenth of the frames lost", once(_lose), None, LANDED, exceeded=never),
    Fault(
        "controller killed",
        kill_controller,
        None,
        Demand(Mode.POLICY, Mode.POLICY, vehicle=DOWN, own_within=LEVEL),
        exceeded=never,
    ),
    Fault(
        "state lost, status lives",
        once(mute("odometry")),
        "silence",
        BLIND,
        window=LIMITS.odometry_timeout,
    ),
    Fault(
        "status lost, state lives",
        once(mute("heartbeat")),
        "link",
        LANDED,
        window=1.0,
        plan={"duration": 10.0},
    ),
    *TELEMETRY_FAULTS,
    Fault("position jumps 1 m", once(jump_by(0.8, -0.6, 0.0)), "jump", BACK),
    Fault("vehicle's clock 1 h ahead", once(_shift_clock(3_600_000)), None, LANDED, exceeded=never),
    clock_back(_shift_clock(-500), replace(BLIND, other_end=Mode.DISARMED)),
    Fault("vehicle locks itself", once(_lock), "mode", LEFT, window=0.02),
    Fault(
        "vehicle is locked before",
        once(_lock),
        "vehicle",
        NO_ARMING,
        from_start=True,
        window=10.0,
        words="restart",
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
        "operator leaves it to a pilot that is not there",
        once(ask_for(Event.HAND_OVER)),
        None,
        LANDED,
        exceeded=never,
    ),
)
