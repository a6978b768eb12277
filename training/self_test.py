"""The self-test of an artifact: inputs that rounding cannot upset, and the actions they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from snn_controller.errors import UserError
from snn_controller.frames import axis_angle_to_quaternion
from snn_controller.observation import observe
from snn_controller.state import Reference, State

TICKS = 20
TOLERANCE = 1e-4  # of an action
MARGIN = 1e-5  # no membrane comes nearer to its threshold
CANDIDATES = 1000

Rows: TypeAlias = list[list[float]]  # one a tick
# Observations (ticks, 18) -> all inputs of the graph by name, actions, and how near a membrane
# came to its threshold: infinitely far in a network without spikes.
Flown: TypeAlias = Callable[[NDArray[np.float32]], tuple[Mapping[str, Rows], Rows, float]]


def find_self_test(fly: Flown) -> dict[str, Any]:
    """Return the first made-up flight in which rounding cannot flip a spike, as metadata.

    Raises:
        UserError: There is none.
    """
    for candidate in range(CANDIDATES):
        observations = flight_like_observations(TICKS, np.random.default_rng(candidate))
        inputs, actions, margin = fly(observations)
        if margin > MARGIN:
            return {"inputs": dict(inputs), "actions": actions, "tolerance": TOLERANCE}
    raise UserError(
        "no self-test sequence keeps all membranes off their thresholds; train the network again"
    )


def flight_like_observations(ticks: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return observations (ticks, 18) of a made-up flight that swings around its target."""
    time = np.arange(ticks)[:, None] * 0.01
    amplitude = rng.uniform(0.2, 1.0, 12) * np.repeat([0.3, 0.5, 1.0, 2.0], 3)
    waves = amplitude * np.sin(rng.uniform(2.0, 12.0, 12) * time + rng.uniform(0.0, 6.3, 12))
    position, tilt, velocity, rates = np.split(waves, 4, axis=1)
    angle = np.linalg.norm(tilt, axis=1)
    quaternion = axis_angle_to_quaternion(tilt / np.maximum(angle, 1e-9)[:, None], angle)
    return observe(State(position, quaternion, velocity, rates), Reference(np.zeros(3)))
