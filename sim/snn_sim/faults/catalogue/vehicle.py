"""Faults of the vehicle and of its place, what an operator may ask for, and flights without any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from snn_controller.safety import Event, Limits, Mode
from snn_controller.vehicle import LinkStatus, State, multiply_quaternions
from snn_sim.faults.harness.edits import Edit, edit_state, for_ticks, gusts, push
from snn_sim.faults.harness.scene import FLOWN, REFUSED, TICK_NS, Demand, Fault, Scene

LANDED = Demand(Mode.LAND, Mode.DISARMED)
LIMITS = Limits()
OPERATED = {"auto_start": False}
PATIENCE = 15.0  # s, of the guide's deadlines


def _status(**status: Any) -> Edit:
    def apply(scene: Scene) -> None:
        scene.status = LinkStatus(**status)

    return apply


def _dragged(scene: Scene, state: State) -> State:
    """Return the state of a drone that something drags over the ground."""
    velocity = np.array([0.2, 0.0, 0.0])
    position = state.position + scene.number * TICK_NS * 1e-9 * velocity
    return replace(state, position=position, velocity=velocity)


def _nothing(_: Scene) -> None:
    pass


def _never(_: Scene) -> bool:
    return False


def _ask(event: Event) -> Edit:
    def apply(scene: Scene) -> None:
        scene.flight.request(event, scene.now)

    return for_ticks(1, apply)


def _noisy(scene: Scene, state: State) -> State:
    """Return a state with the noise of a motion capture that is not a good one."""
    normal = scene.rng.normal
    turn = np.append(normal(0.0, 0.0025, 3), 1.0)  # about 0.3 degrees an axis
    return State(
        state.position + normal(0.0, 0.003, 3),
        multiply_quaternions(state.quaternion, turn / np.linalg.norm(turn)),
        state.velocity + normal(0.0, 0.03, 3),
        state.body_rates + normal(0.0, 0.05, 3),
    )


VEHICLE_FAULTS = (
    Fault("none, but noise", edit_state(_noisy), None, FLOWN),
    Fault("none, but gusts", gusts, None, FLOWN),
    Fault("none, in the air", _nothing, None, FLOWN),
    Fault("none, from the ground", _nothing, None, LANDED, task="takeoff_land", exceeded=_never),
    Fault(
        "battery low",
        _status(battery=3.0),
        "battery",
        LANDED,
        limits={"min_battery_voltage": 3.3},
        window=LIMITS.battery_window,
    ),
    Fault("link lost", _status(age=0.5), "link", LANDED),
    Fault(
        "pilot changes the mode", _status(in_control=False), "mode", Demand(Mode.PILOT, Mode.PILOT)
    ),
    Fault("vehicle disarms itself", _status(armed=False), "mode", Demand(Mode.PILOT, Mode.PILOT)),
    Fault(
        "tethered at take-off",
        push(0, 0, -0.7),
        "takeoff",
        Demand(Mode.FALLBACK, Mode.DISARMED),
        window=2.5 + PATIENCE,
        task="takeoff_land",
        from_start=True,
        seconds=25.0,
    ),
    Fault(
        "ground not where it should be",
        _status(battery=3.0),
        "battery",
        Demand(Mode.LAND, Mode.KILLED),
        limits={"min_battery_voltage": 3.3},
        window=LIMITS.battery_window,
        plan={"ground_height": -1.0},
        seconds=30.0,
        then="landing",
    ),
    Fault("operator lands", _ask(Event.LAND), None, LANDED),
    Fault("operator kills", _ask(Event.KILL), "ended", Demand(Mode.KILLED, Mode.KILLED)),
    Fault(
        "operator leaves it to the pilot",
        _ask(Event.HAND_OVER),
        None,
        Demand(Mode.PILOT, Mode.PILOT),
        plan={"has_pilot": True},
    ),
    Fault("operator disarms in flight", _ask(Event.DISARM), None, FLOWN),
    Fault(
        "not at rest",
        edit_state(_dragged),
        "rest",
        REFUSED,
        from_start=True,
        task="takeoff_land",
        window=5.0,
    ),
    Fault(
        "task that starts in the air, on the ground",
        _ask(Event.ARM),
        "start",
        REFUSED,
        from_start=True,
        plan={"ground_height": 1.5},
    ),
    Fault(
        "vehicle refuses to arm",
        _status(armed=False, refusal="no"),
        "vehicle",
        REFUSED,
        from_start=True,
        task="takeoff_land",
        window=10.5,
    ),
    Fault(
        "armed, then forgotten",
        _nothing,
        "idle",
        REFUSED,
        from_start=True,
        plan=OPERATED,
        window=30.8,
        requests={30: Event.ARM},
        seconds=40.0,
    ),
)
