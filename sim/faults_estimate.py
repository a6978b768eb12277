"""Faults of odometry and clock: what an estimator, a bridge or a wire may do to a flight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from snn_controller.frames import (
    axis_angle_to_quaternion,
    multiply_quaternions,
    swap_enu_ned,
    swap_flu_frd,
)
from snn_controller.guards.limits import Limits
from snn_controller.state import State
from snn_controller.state_machine import Event, Mode

from sim.fault_scene import ANY, TICK_NS, Demand, Fault, Scene

LOST = Demand(Mode.DESCENT, Mode.KILLED, invalid=True)
BACK = Demand(Mode.DESCENT, Mode.DISARMED, invalid=True)  # valid again: guide lands
REFUSED = Demand(Mode.DISARMED, Mode.DISARMED)
SHORT = 30  # ticks of a fault that ends by itself
HOUR = 3600 * 10**9  # ns
EVIDENCE = 0.5  # s, the memory of the motion guard
CARRY_TICKS = 150
BAD_FIELDS = ("position", "quaternion", "velocity", "body_rates")


def _edit(**changes: Any) -> Callable[[Scene], None]:
    """Replace fields of the sample."""

    def apply(scene: Scene) -> None:
        if scene.sample is not None:
            scene.sample = replace(scene.sample, **changes)

    return apply


def _state(change: Callable[[Scene, State], State]) -> Callable[[Scene], None]:
    """Replace the state in the sample."""

    def apply(scene: Scene) -> None:
        assert scene.sample is not None
        scene.sample = replace(scene.sample, state=change(scene, scene.sample.state))

    return apply


def _short(apply: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """Let a fault end by itself."""

    def limited(scene: Scene) -> None:
        if scene.since < SHORT:
            apply(scene)

    return limited


def _once(apply: Callable[[Scene], None]) -> Callable[[Scene], None]:
    def once(scene: Scene) -> None:
        if scene.since == 0:
            apply(scene)

    return once


def _drop(scene: Scene) -> None:
    scene.sample = None


def _not_finite(scene: Scene, state: State) -> State:
    field = BAD_FIELDS[scene.rng.integers(len(BAD_FIELDS))]
    values = getattr(state, field).copy()
    values[scene.rng.integers(values.size)] = scene.rng.choice([np.nan, np.inf, -np.inf])
    return replace(state, **{field: values})


def _half_quaternion(_: Scene, state: State) -> State:
    return replace(state, quaternion=0.5 * state.quaternion)


def _shifted(scene: Scene, state: State) -> State:
    if "shift" not in scene.memory:
        angle = scene.rng.uniform(0.0, 2.0 * np.pi)
        scene.memory["shift"] = np.array([np.cos(angle), np.sin(angle), 0.0])
    return replace(state, position=state.position + scene.memory["shift"])


def _spun(_: Scene, state: State) -> State:
    turn = axis_angle_to_quaternion([0.0, 0.0, 1.0], 1.0)
    return replace(state, quaternion=multiply_quaternions(turn, state.quaternion))


def _flung(scene: Scene, state: State) -> State:
    return replace(state, velocity=state.velocity + np.array([0.0, 3.0, 0.0]))


def _old(scene: Scene) -> None:
    assert scene.sample is not None
    scene.sample = replace(scene.sample, stamp=scene.sample.stamp - 20 * TICK_NS)


def _ahead(scene: Scene) -> None:
    scene.now -= HOUR


def _clock_jump(scene: Scene) -> None:
    scene.now += HOUR


def _degrees(_: Scene, state: State) -> State:
    return replace(state, body_rates=np.rad2deg(state.body_rates))


def _ned(_: Scene, state: State) -> State:
    """Return a state as a NED and FRD stack would send it, unconverted."""
    x, y, z, w = state.quaternion
    return State(
        swap_enu_ned(state.position),
        np.array([y, x, -z, w]),
        swap_enu_ned(state.velocity),
        swap_flu_frd(state.body_rates),
    )


def _frd_body(_: Scene, state: State) -> State:
    """Return a state whose body is FRD in an ENU world."""
    turned = multiply_quaternions(state.quaternion, np.array([1.0, 0.0, 0.0, 0.0]))
    return replace(state, quaternion=turned, body_rates=swap_flu_frd(state.body_rates))


def _wxyz(_: Scene, state: State) -> State:
    return replace(state, quaternion=np.roll(state.quaternion, 1))


def _backwards(_: Scene, state: State) -> State:
    return replace(state, velocity=-state.velocity)


def _carry(scene: Scene) -> None:
    """Let a hand carry and turn the drone about, then put it down."""
    if scene.sample is None or scene.number >= CARRY_TICKS:
        return
    time = scene.number * TICK_NS * 1e-9
    swing, rate = 0.3 * (1.0 - np.cos(4.0 * time)), 1.2 * np.sin(4.0 * time)
    axis = np.array([0.6, 0.0, 0.8])
    at_rest = scene.drone.state.position
    state = State(
        at_rest + np.array([swing, 0.0, 0.5 * swing]),
        axis_angle_to_quaternion(axis, swing),
        np.array([rate, 0.0, 0.5 * rate]),
        rate * axis,
    )
    scene.sample = replace(scene.sample, state=state)


def _carried(change: Callable[[Scene, State], State]) -> Callable[[Scene], None]:
    """Carry the drone before arming, with odometry that is wrong throughout."""

    def apply(scene: Scene) -> None:
        _carry(scene)
        _state(change)(scene)

    return apply


def _garbage(scene: Scene) -> None:
    """Send what a broken bridge may: anything, at any time, twice or not at all."""
    assert scene.sample is not None
    rng, sample = scene.rng, scene.sample
    values = rng.normal(0.0, 10.0 ** rng.uniform(-3.0, 12.0), 13)
    values[rng.integers(13)] = rng.choice([np.nan, np.inf, 0.0, 1e300])
    junk = State(values[:3], values[3:7], values[7:10], values[10:])
    scene.sample = rng.choice(
        np.array(
            [
                None,
                replace(sample, state=junk),
                replace(sample, frame="\0", child_frame=""),
                replace(sample, stamp=int(rng.integers(-(2**62), 2**62))),
                replace(sample, position_deviation=float("nan")),
            ],
            dtype=object,
        )
    )


def _asked(scene: Scene) -> bool:
    """Whether the operator has asked for something by now."""
    return scene.number >= min(scene.fault.requests)


def _turning(scene: Scene) -> bool:
    """Whether the drone has begun to turn, so that body rates can be judged."""
    return float(np.abs(scene.drone.state.body_rates).max()) > 0.05


def _moving(scene: Scene) -> bool:
    return float(np.linalg.norm(scene.drone.state.velocity)) > 0.2


def _rising(scene: Scene) -> bool:
    return float(scene.drone.state.velocity[2]) > 0.01


ESTIMATE_FAULTS = (
    Fault("frame names change", _edit(frame="map_ned"), "frame", LOST),
    Fault("NaN or infinity for good", _state(_not_finite), "finite", LOST),
    Fault("NaN or infinity for 0.3 s", _short(_state(_not_finite)), "finite", BACK),
    Fault("quaternion of half length", _state(_half_quaternion), "attitude", LOST),
    Fault("odometry 0.2 s old", _old, "stale", LOST),
    Fault("clock 1 h behind the odometry", _ahead, "stale", LOST),
    Fault("clock jumps 1 h ahead for 0.3 s", _short(_clock_jump), "stale", BACK),
    Fault("odometry stops for good", _drop, "silence", LOST, window=Limits().odometry_timeout),
    Fault(
        "odometry stops for 0.3 s", _short(_drop), "silence", BACK, window=Limits().odometry_timeout
    ),
    Fault("position jumps 1 m", _state(_shifted), "jump", Demand(Mode.DESCENT, Mode.DISARMED)),
    Fault(
        "velocity jumps 3 m/s",
        _state(_flung),
        "jump",
        Demand(Mode.DESCENT, Mode.KILLED, other_end=Mode.DISARMED),
    ),
    Fault("attitude jumps 1 rad", _state(_spun), "jump", Demand(Mode.DESCENT, Mode.DISARMED)),
    Fault("position doubtful", _edit(position_deviation=0.5), "deviation", LOST),
    Fault("attitude doubtful", _edit(attitude_deviation=0.5), "deviation", LOST),
    Fault("velocity unknown", _edit(velocity_deviation=float("nan")), "deviation", LOST),
    Fault("garbage for good", _garbage, ANY, LOST),
    Fault("one bad sample", _once(_state(_not_finite)), None, Demand(Mode.POLICY, Mode.POLICY)),
    Fault("one jump and back", _once(_state(_shifted)), None, Demand(Mode.POLICY, Mode.POLICY)),
    Fault(
        "gyro turns to deg/s in flight",
        _state(_degrees),
        "units",
        Demand(Mode.DESCENT, Mode.KILLED, other_end=Mode.DISARMED),
        window=EVIDENCE,
        exceeded=_turning,
    ),
    Fault(
        "velocity turns its sign in flight",
        _state(_backwards),
        "units",
        Demand(Mode.DESCENT, Mode.KILLED, other_end=Mode.DISARMED),
        window=EVIDENCE,
        exceeded=_moving,
    ),
    Fault(
        "gyro in deg/s, found in the hand",
        _carried(_degrees),
        "units",
        REFUSED,
        from_start=True,
        exceeded=_asked,
        task="takeoff_land",
        plan={"auto_start": False},
        requests={300: Event.ARM},
    ),
    Fault(
        "gyro in deg/s, found at take-off",
        _state(_degrees),
        "units",
        Demand(Mode.KILLED, Mode.KILLED),
        window=EVIDENCE,
        exceeded=_turning,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "odometry in NED, found at take-off",
        _state(_ned),
        "gravity",
        Demand(Mode.KILLED, Mode.KILLED),
        window=EVIDENCE,
        exceeded=_rising,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "odometry in NED, found by the accelerometer",
        _edit(specific_force=np.array([0.0, 0.0, -9.81])),
        "gravity",
        REFUSED,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "body in FRD", _state(_frd_body), "gravity", REFUSED, from_start=True, task="takeoff_land"
    ),
    Fault(
        "quaternion in order wxyz",
        _state(_wxyz),
        "gravity",
        REFUSED,
        from_start=True,
        task="takeoff_land",
    ),
)
