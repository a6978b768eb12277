"""Ways to tamper with scene, vehicle and firmware, from which faults are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from snn_controller.safety import Event, Mode
from snn_controller.vehicle import (
    State,
    axis_angle_to_quaternion,
    multiply_quaternions,
    quaternion_to_matrix,
)
from snn_sim.faults.link_scene import TICK
from snn_sim.faults.scene import Scene

Edit = Callable[[Any], None]  # of a `Scene`, or of a `LinkScene` and its vehicle
StateEdit = Callable[[Any, State], State]


def edit_sample(**changes: Any) -> Edit:
    """Replace fields of the sample, where there is one."""

    def apply(scene: Scene) -> None:
        if scene.sample is not None:
            scene.sample = replace(scene.sample, **changes)

    return apply


def edit_state(change: StateEdit) -> Edit:
    """Replace the state in the sample, where there is one."""

    def apply(scene: Scene) -> None:
        if scene.sample is not None:
            scene.sample = replace(scene.sample, state=change(scene, scene.sample.state))

    return apply


def push(*force: float) -> Edit:
    """Push with a force in N in the world, whoever flies."""

    def apply(scene: Scene) -> None:
        scene.force = np.array(force)

    return apply


def twist(*torque: float) -> Edit:
    """Twist with a torque in N m in the body, whoever flies."""

    def apply(scene: Scene) -> None:
        scene.torque = np.array(torque)

    return apply


def gusts(scene: Scene) -> None:
    """Push anew every fifth of a second, by a tenth of the weight an axis."""
    if scene.since % 20 == 0:
        scene.memory["gust"] = scene.rng.normal(0.0, 0.026, 3)
    scene.force = scene.memory["gust"]


def while_the_policy_flies(edit: Edit) -> Edit:
    """Let an edit end with the policy's control."""

    def apply(scene: Scene) -> None:
        if scene.flight.mode is Mode.POLICY:
            edit(scene)

    return apply


def for_ticks(ticks: int, edit: Edit) -> Edit:
    """Let an edit end by itself after some ticks."""

    def apply(scene: Scene) -> None:
        if scene.since < ticks:
            edit(scene)

    return apply


def do_nothing(_: Any) -> None:
    """Leave everything as it is."""


def never(_: Any) -> bool:
    """Say that no limit is broken."""
    return False


def once(edit: Edit) -> Edit:
    """Let an edit happen in one tick."""

    def apply(scene: Any) -> None:
        if scene.since == 0:
            edit(scene)

    return apply


def between(first: Edit, after: float, then: Edit) -> Edit:
    """Let one edit happen at once, and another some s later."""

    def apply(scene: Any) -> None:
        if scene.since == 0:
            first(scene)
        elif scene.since == round(after / TICK):
            then(scene)

    return apply


def cut_wire(*, up: bool, down: bool) -> Edit:
    """Let nothing through to the vehicle (up), or from it (down); or all again."""
    return lambda scene: scene.vehicle.cut(up=up, down=down)


def mute(*messages: str) -> Edit:
    """Let the vehicle send some of its messages no more."""
    return lambda scene: scene.vehicle.mute(*messages)


def let_estimator(change: StateEdit) -> Edit:
    """Let the vehicle's estimator say something else than the truth."""

    def apply(scene: Any) -> None:
        scene.vehicle.body.estimator = lambda state: change(scene, state)

    return apply


def recover(scene: Any) -> None:
    """Let the estimator tell the truth again."""
    scene.vehicle.body.estimator = lambda state: state


def act_on_firmware(act: Callable[[Any, float], object]) -> Edit:
    """Do something to the firmware at its time in s."""
    return lambda scene: _drop(act(scene.vehicle.firmware, scene.vehicle.body.time))


def _drop(_: object) -> None:
    pass


def set_firmware(name: str, value: object) -> Edit:
    """Set a field of the firmware."""
    return lambda scene: setattr(scene.vehicle.firmware, name, value)


def is_arming(scene: Any) -> bool:
    """Whether the vehicle has been asked to arm."""
    return scene.flight.mode is Mode.ARMING


def empty_battery(scene: Any) -> None:
    """Let the voltage sag for good."""
    scene.vehicle.body.battery = 3.0


def is_told_empty(scene: Any) -> bool:
    """Whether the flight has been told that the voltage is low."""
    battery = scene.flight.status.battery
    return battery is not None and battery < 3.3


def spoil(scene: Any, state: State) -> State:
    """Return a state with a number that is none."""
    field = ("position", "quaternion", "velocity", "body_rates")[scene.delay % 4]
    values = getattr(state, field).copy()
    values[0] = np.nan
    return replace(state, **{field: values})


def freeze(scene: Any, state: State) -> State:
    """Return the state at which the estimator froze."""
    return scene.memory.setdefault("frozen", state)


def jump_by(*shift: float, heading: float = 0.0) -> Edit:
    """Let the estimator move and turn its world."""
    turn = axis_angle_to_quaternion([0.0, 0.0, 1.0], heading)

    def moved(_: Any, state: State) -> State:
        return State(
            quaternion_to_matrix(turn) @ state.position + shift,
            multiply_quaternions(turn, state.quaternion),
            quaternion_to_matrix(turn) @ state.velocity,
            state.body_rates,
        )

    return let_estimator(moved)


def reset_by(*shift: float, heading: float = 0.0) -> Edit:
    """Let the estimator move its world, and say that it has been reset."""

    def apply(scene: Any) -> None:
        scene.vehicle.body.resets += 1
        jump_by(*shift, heading=heading)(scene)

    return apply


def reset_on_and_on(scene: Any) -> None:
    """Reset the estimator by 1 m, and back half a second later, then it is well again."""
    if scene.since in (0, 50):
        reset_by(0.8 * (scene.since == 0), -0.6 * (scene.since == 0), 0.0)(scene)


def restart_clock(scene: Any) -> None:
    """Let the vehicle count time from its beginning again."""
    body = scene.vehicle.body
    body.clock_shift = 0.3 - body.time


def shift_clock(seconds: float) -> Edit:
    """Set the vehicle's clock ahead, or back."""

    def apply(scene: Any) -> None:
        scene.vehicle.body.clock_shift += seconds

    return apply


def ask_for(event: Event) -> Edit:
    """Ask for something as an operator does."""

    def apply(scene: Any) -> None:
        scene.loop.ask(event)

    return apply


def kill_controller(scene: Any) -> None:
    """End the controller without a word."""
    scene.alive = False
