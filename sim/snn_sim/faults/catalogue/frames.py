"""Faults of frames and units: NED, FRD, degrees, a wrong sign, a quaternion in another order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snn_controller.safety import Event, Mode
from snn_controller.vehicle import (
    State,
    axis_angle_to_quaternion,
    multiply_quaternions,
    swap_enu_ned,
    swap_flu_frd,
)
from snn_sim.faults.harness.edits import Edit, StateEdit, edit_sample, edit_state
from snn_sim.faults.harness.scene import REFUSED, TICK_NS, Demand, Fault, Scene

EVIDENCE = 0.5  # s, the memory of the motion guard
CARRY_TICKS = 150


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


def _in_a_hand(scene: Scene, state: State) -> State:
    """Return the state of a drone that a hand carries and turns about, then puts down."""
    if scene.number >= CARRY_TICKS:
        return state
    time = scene.number * TICK_NS * 1e-9
    swing, rate = 0.3 * (1.0 - np.cos(4.0 * time)), 1.2 * np.sin(4.0 * time)
    axis = np.array([0.6, 0.0, 0.8])
    return State(
        scene.drone.state.position + np.array([swing, 0.0, 0.5 * swing]),
        axis_angle_to_quaternion(axis, swing),
        np.array([rate, 0.0, 0.5 * rate]),
        rate * axis,
    )


def _carried(change: StateEdit) -> Edit:
    """Carry the drone before arming, with odometry that is wrong throughout."""
    return edit_state(lambda scene, state: change(scene, _in_a_hand(scene, state)))


def _asked(scene: Scene) -> bool:
    """Whether the operator has asked for something by now."""
    return scene.number >= min(scene.fault.requests)


def _turning(scene: Scene) -> bool:
    """Whether the drone has begun to turn, so that body rates can be judged."""
    return float(np.abs(scene.drone.state.body_rates).max()) > 0.05


def _moving(scene: Scene) -> bool:
    return float(np.linalg.norm(scene.drone.state.velocity)) > 0.3


def _rising(scene: Scene) -> bool:
    return float(scene.drone.state.velocity[2]) > 0.01


FRAME_FAULTS = (
    Fault(
        "gyro turns to deg/s in flight",
        edit_state(_degrees),
        "units",
        Demand(Mode.DESCENT, Mode.KILLED, other_end=Mode.DISARMED),
        window=EVIDENCE,
        exceeded=_turning,
    ),
    Fault(
        "velocity turns its sign in flight",
        edit_state(_backwards),
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
        edit_state(_degrees),
        "units",
        Demand(Mode.KILLED, Mode.KILLED),
        window=EVIDENCE,
        exceeded=_turning,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "odometry in NED, found at take-off",
        edit_state(_ned),
        "gravity",
        Demand(Mode.KILLED, Mode.KILLED),
        window=EVIDENCE,
        exceeded=_rising,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "odometry in NED, found by the accelerometer",
        edit_sample(specific_force=np.array([0.0, 0.0, -9.81])),
        "gravity",
        REFUSED,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "body in FRD",
        edit_state(_frd_body),
        "gravity",
        REFUSED,
        from_start=True,
        task="takeoff_land",
    ),
    Fault(
        "quaternion in order wxyz",
        edit_state(_wxyz),
        "gravity",
        REFUSED,
        from_start=True,
        task="takeoff_land",
    ),
)
