"""What a policy sees: every version of the observation, its numbers by name. The only definition.

Version 1, 18 numbers:

| numbers | content | unit |
|---|---|---|
| `POSITION_ERROR` 0-2 | p - p_ref in the world, clipped to +-0.6 per axis | m |
| `ROTATION_MATRIX` 3-11 | body to world, row-major | - |
| `VELOCITY_ERROR` 12-14 | v - v_ref in the world, clipped to +-2 per axis | m/s |
| `BODY_RATES` 15-17 | in the body | rad/s |

Sensor noise comes in the same order, on what is measured, before any clipping.

An artifact names its version and is flown on it, so policies of several versions fly side by side.
`OBSERVATION_VERSION` is what simulators give and what is trained: its compiled copy
(`snn_sim.batched`) and its differentiable one (`snn_training.algorithms.apg`) are tested against
its function here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.state import Reference, State

POSITION_ERROR = slice(0, 3)
ROTATION_MATRIX = slice(3, 12)
VELOCITY_ERROR = slice(12, 15)
BODY_RATES = slice(15, 18)
PART_SIZES = (3, 9, 3, 3)  # of the four, in order
POSITION_ERROR_LIMIT = 0.6  # m
VELOCITY_ERROR_LIMIT = 2.0  # m/s


def per_number(position: float, rotation: float, velocity: float, rates: float) -> Array:
    """Return (18,) with one value for all numbers of each part, such as a noise's deviation."""
    return np.repeat([position, rotation, velocity, rates], PART_SIZES)


@dataclass(frozen=True)
class ObservationVersion:
    """One way to show a policy the state of its drone."""

    observe: Callable[[State, Reference], NDArray[np.float32]]  # of batches too: (..., size)
    limits: Array  # (size,) largest magnitude of each number, infinite where there is none
    scale: Array  # (size,) factors by which networks bring the numbers to about unit size

    @property
    def size(self) -> int:
        """How many numbers it shows."""
        return len(self.limits)


def observe_1(state: State, reference: Reference) -> NDArray[np.float32]:
    """Return the observation (..., 18) of version 1 of a state against a reference.

    The clipping is part of the observation, so a far goal looks in flight just as in training.
    """
    rotation = state.rotation
    observation = np.empty((*rotation.shape[:-2], 18), dtype=np.float32)
    position, velocity = state.position - reference.position, state.velocity - reference.velocity
    observation[..., POSITION_ERROR] = _clip(position, POSITION_ERROR_LIMIT)
    observation[..., ROTATION_MATRIX] = rotation.reshape(*rotation.shape[:-2], 9)
    observation[..., VELOCITY_ERROR] = _clip(velocity, VELOCITY_ERROR_LIMIT)
    observation[..., BODY_RATES] = state.body_rates
    return observation


def _clip(values: Array, limit: float) -> Array:
    return np.minimum(np.maximum(values, -limit), limit)  # np.clip takes three times as long


OBSERVATIONS: dict[int, ObservationVersion] = {
    1: ObservationVersion(
        observe_1,
        limits=per_number(POSITION_ERROR_LIMIT, 1.0, VELOCITY_ERROR_LIMIT, np.inf),
        scale=per_number(4.0, 2.0, 1.0, 0.25),
    ),
}
OBSERVATION_VERSION = 1  # what simulators give and what is trained
OBSERVATION_SIZE = OBSERVATIONS[OBSERVATION_VERSION].size
observe = OBSERVATIONS[OBSERVATION_VERSION].observe
