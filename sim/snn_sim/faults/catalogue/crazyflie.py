"""Faults behind the link `crazyflie`: firmware without a pilot, which levels and then locks."""

from __future__ import annotations

from dataclasses import replace

from snn_controller.safety import Event, Mode
from snn_controller.vehicle import FlightController, State
from snn_sim.doubles.crazyflie import START, Phase, advance, connect_lockstep, crtp
from snn_sim.faults.catalogue.shared import (
    BACK,
    BLIND,
    LANDED,
    LIMITS,
    NO_ARMING,
    TELEMETRY_FAULTS,
    clock_back,
)
from snn_sim.faults.edits import (
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
from snn_sim.faults.link_scene import DOWN, FALLS, LEVELS, OBEYS, LinkScene
from snn_sim.faults.scene import ANY, Demand, Fault

_BLOCKS = {"odometry": 1, "heartbeat": 2}


class CrazyflieVehicle:
    """A Crazyflie without a pilot: its firmware levels when it hears nothing, then stops."""

    def __init__(self) -> None:
        """Stand on the ground."""
        link, self.radio = connect_lockstep()
        self.link: FlightController = link
        self.firmware = self.body = self.radio.firmware

    @property
    def now(self) -> int:
        """Time in ns on the controller's clock."""
        return START + self.radio.nanoseconds

    @property
    def state(self) -> State:
        """Where it really is."""
        return self.firmware.drone.state

    @property
    def driven(self) -> bool:
        """Whether its motors turn."""
        return self.firmware.motors_turn

    @property
    def doing(self) -> str:
        """What it does, one of the words of `link_scene`."""
        if not self.driven:
            return DOWN if self.firmware.drone.touching_ground else FALLS
        return LEVELS if self.firmware.supervisor.phase is Phase.LEVEL else OBEYS

    def advance(self, seconds: float) -> None:
        """Let it live for some time."""
        advance(self.radio, seconds)

    def cut(self, *, up: bool, down: bool) -> None:
        """Let nothing through to the vehicle (up), or from it (down)."""
        self.radio.edit_up = _nothing if up else _everything
        self.radio.edit_down = _nothing if down else _everything

    def mute(self, *messages: str) -> None:
        """Let the vehicle send some of its log blocks no more."""
        muted = {_BLOCKS[name] for name in messages}
        self.radio.edit_down = lambda frames: [f for f in frames if _log_block(f) not in muted]

    def close(self) -> None:
        """Close its world."""
        self.firmware.drone.close()


def _log_block(data: bytes) -> int | None:
    is_log = data[0] >> 4 == crtp.LOG and data[0] & 3 == 2
    return data[1] if is_log else None


def _nothing(_: list[bytes]) -> list[bytes]:
    return []


def _everything(data: list[bytes]) -> list[bytes]:
    return data


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
