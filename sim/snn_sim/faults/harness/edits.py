"""Ways to tamper with a scene, from which faults are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from snn_controller.safety import Mode
from snn_controller.vehicle import State
from snn_sim.faults.harness.scene import Scene

Edit = Callable[[Scene], None]
StateEdit = Callable[[Scene, State], State]


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
