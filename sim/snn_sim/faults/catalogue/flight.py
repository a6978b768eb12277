"""Faults of vehicle, place, surroundings and policy; requests; flights without any fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from snn_controller.safety import TIMING_WINDOW, Event, Limits, Mode
from snn_controller.vehicle import LinkStatus, State, multiply_quaternions
from snn_sim.faults.edits import (
    Edit,
    edit_state,
    for_ticks,
    gusts,
    push,
    twist,
    while_the_policy_flies,
)
from snn_sim.faults.scene import FLOWN, REFUSED, TICK_NS, Demand, Fault, Scene

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
        scene.loop.ask(event)

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


FALLEN_BACK = Demand(Mode.FALLBACK, Mode.DISARMED)
BEYOND = 1e30  # a membrane from which no leak brings a neuron back within a tick


def _push(*force: float) -> Edit:
    return while_the_policy_flies(push(*force))


def _twist(*torque: float) -> Edit:
    return while_the_policy_flies(twist(*torque))


def _action(make: Callable[[Scene], Any]) -> Edit:
    """Let the policy give other actions than its network's."""

    def apply(scene: Scene) -> None:
        scene.policy.override = lambda: make(scene)

    return apply


def _membranes(value: float, *, layer: int, neurons: int | None = None) -> Edit:
    """Set membrane potentials of a layer, all or the first few."""

    def apply(scene: Scene) -> None:
        name = scene.policy.metadata.layers[layer].name
        scene.policy.poison(f"membrane_{name}", value, neurons)

    return apply


def _half_the_samples(scene: Scene) -> None:
    if scene.since % 2:
        scene.sample = None


def _late(scene: Scene) -> None:
    scene.now += 8 * TICK_NS


def _outside(scene: Scene) -> bool:
    position, limits = scene.drone.state.position, scene.flight.limits
    beyond = np.maximum(limits.geofence_lower - position, position - limits.geofence_upper)
    return bool(beyond.max() > 0.0)


def _tilted(scene: Scene) -> bool:
    return bool(scene.drone.state.rotation[2, 2] < scene.flight.limits.cosine_of_tilt)


def _fast(scene: Scene) -> bool:
    return float(np.linalg.norm(scene.drone.state.velocity)) > scene.flight.limits.max_speed


def _spinning(scene: Scene) -> bool:
    return float(np.abs(scene.drone.state.body_rates).max()) > scene.flight.limits.max_body_rate


def _low(scene: Scene) -> bool:
    return float(scene.drone.state.position[2]) < 0.05


def _alternating(scene: Scene) -> Any:
    return 0.8 * (-1.0) ** scene.number * np.ones(4)


_BOX = {"geofence": [-0.8, 0.8, -0.8, 0.8, -0.5, 1.6]}
_NARROW = {"max_tilt_deg": 25.0}
FLIGHT_FAULTS = (
    Fault(
        "wind out of the box",
        _push(0.35, 0.1, 0),
        "geofence",
        FALLEN_BACK,
        limits=_BOX,
        exceeded=_outside,
    ),
    Fault(
        "lifted out of the box",
        _push(0, 0, 0.4),
        "altitude",
        FALLEN_BACK,
        limits=_BOX,
        exceeded=_outside,
    ),
    Fault(
        "tipped over",
        _twist(3e-3, 0, 0),
        "tilt",
        FALLEN_BACK,
        limits={"max_tilt_deg": 40.0, "max_body_rate": 60.0},
        plan={"hover_point": np.array([0.0, 0.0, 2.0])},  # room to recover
        exceeded=_tilted,
    ),
    Fault(
        "pushed too fast",
        _push(0, 0.4, 0),
        "speed",
        FALLEN_BACK,
        limits={"max_speed": 1.0},
        exceeded=_fast,
    ),
    Fault(
        "spun",
        _twist(0, 0, 2e-3),
        "body_rate",
        FALLEN_BACK,
        limits={"max_body_rate": 6.0},
        exceeded=_spinning,
    ),
    Fault("action NaN", _action(lambda _: np.full(4, np.nan)), "policy", FALLEN_BACK),
    Fault("neuron state NaN", _membranes(np.nan, layer=0, neurons=1), "neurons", FALLEN_BACK),
    Fault(
        "first layer silent",
        _membranes(-BEYOND, layer=0),
        "silent",
        FALLEN_BACK,
        window=LIMITS.layer_window,
    ),
    Fault(
        "last layer firing",
        _membranes(BEYOND, layer=1),
        "firing",
        FALLEN_BACK,
        window=LIMITS.layer_window,
    ),
    Fault(
        "actions at their limit",
        _action(lambda _: np.ones(4)),
        "saturation",
        FALLEN_BACK,
        window=LIMITS.action_window,
    ),
    Fault(
        "actions flutter",
        _action(_alternating),
        "jitter",
        FALLEN_BACK,
        window=LIMITS.action_window,
    ),
    Fault("every other sample lost", _half_the_samples, "rate", FALLEN_BACK, window=TIMING_WINDOW),
    Fault("samples 80 ms late", _late, "late", FALLEN_BACK, window=TIMING_WINDOW),
    Fault(
        "pressed to the ground",
        _push(0, 0, -0.36),
        "ground",
        Demand(Mode.KILLED, Mode.KILLED),
        limits={"max_speed": 50.0},
        exceeded=_low,
    ),
    Fault(
        "wind that the guide must lean against",
        push(0.16, 0, 0),
        "tilt",
        Demand(Mode.FALLBACK, Mode.KILLED),
        limits=_NARROW,
        exceeded=_tilted,
        then="overturned",
    ),
)
