"""Ways to tamper with a vehicle behind a link and with its firmware: what faults are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from snn_controller.safety import Event, Mode
from snn_controller.vehicle import (
    State,
    axis_angle_to_quaternion,
    multiply_quaternions,
    quaternion_to_matrix,
)
from snn_sim.doubles.px4 import Px4Firmware
from snn_sim.faults.harness.link_scene import TICK, LinkScene

Edit = Callable[[LinkScene], None]
StateEdit = Callable[[LinkScene, State], State]


def do_nothing(_: LinkScene) -> None:
    """Leave everything as it is."""


def never(_: LinkScene) -> bool:
    """Say that no limit is broken."""
    return False


def once(edit: Edit) -> Edit:
    """Let an edit happen in one tick."""

    def apply(scene: LinkScene) -> None:
        if scene.since == 0:
            edit(scene)

    return apply


def between(first: Edit, after: float, then: Edit) -> Edit:
    """Let one edit happen at once, and another some s later."""

    def apply(scene: LinkScene) -> None:
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

    def apply(scene: LinkScene) -> None:
        scene.vehicle.body.estimator = lambda state: change(scene, state)

    return apply


def recover(scene: LinkScene) -> None:
    """Let the estimator tell the truth again."""
    scene.vehicle.body.estimator = lambda state: state


def act_on_firmware(act: Callable[[Px4Firmware, float], object]) -> Edit:
    """Do something to the firmware at its time in s."""
    return lambda scene: _drop(act(scene.vehicle.firmware, scene.vehicle.body.time))


def _drop(_: object) -> None:
    pass


def set_firmware(name: str, value: object) -> Edit:
    """Set a field of the firmware."""
    return lambda scene: setattr(scene.vehicle.firmware, name, value)


def is_arming(scene: LinkScene) -> bool:
    """Whether the vehicle has been asked to arm."""
    return scene.flight.mode is Mode.ARMING


def empty_battery(scene: LinkScene) -> None:
    """Let the voltage sag for good."""
    scene.vehicle.body.battery = 3.0


def is_told_empty(scene: LinkScene) -> bool:
    """Whether the flight has been told that the voltage is low."""
    battery = scene.flight.status.battery
    return battery is not None and battery < 3.3


def spoil(scene: LinkScene, state: State) -> State:
    """Return a state with a number that is none."""
    field = ("position", "quaternion", "velocity", "body_rates")[scene.delay % 4]
    values = getattr(state, field).copy()
    values[0] = np.nan
    return replace(state, **{field: values})


def freeze(scene: LinkScene, state: State) -> State:
    """Return the state at which the estimator froze."""
    return scene.memory.setdefault("frozen", state)


def jump_by(*shift: float, heading: float = 0.0) -> Edit:
    """Let the estimator move and turn its world."""
    turn = axis_angle_to_quaternion([0.0, 0.0, 1.0], heading)

    def moved(_: LinkScene, state: State) -> State:
        return State(
            quaternion_to_matrix(turn) @ state.position + shift,
            multiply_quaternions(turn, state.quaternion),
            quaternion_to_matrix(turn) @ state.velocity,
            state.body_rates,
        )

    return let_estimator(moved)


def reset_by(*shift: float, heading: float = 0.0) -> Edit:
    """Let the estimator move its world, and say that it has been reset."""

    def apply(scene: LinkScene) -> None:
        scene.vehicle.body.resets += 1
        jump_by(*shift, heading=heading)(scene)

    return apply


def reset_on_and_on(scene: LinkScene) -> None:
    """Reset the estimator by 1 m, and back half a second later, then it is well again."""
    if scene.since in (0, 50):
        reset_by(0.8 * (scene.since == 0), -0.6 * (scene.since == 0), 0.0)(scene)


def restart_clock(scene: LinkScene) -> None:
    """Let the vehicle count time from its beginning again."""
    body = scene.vehicle.body
    body.clock_shift = 0.3 - body.time


def shift_clock(seconds: float) -> Edit:
    """Set the vehicle's clock ahead, or back."""

    def apply(scene: LinkScene) -> None:
        scene.vehicle.body.clock_shift += seconds

    return apply


def ask_for(event: Event) -> Edit:
    """Ask for something as an operator does."""

    def apply(scene: LinkScene) -> None:
        scene.controller.ask(event, scene.vehicle.now)

    return apply


def kill_controller(scene: LinkScene) -> None:
    """End the controller without a word."""
    scene.alive = False
