"""Sensor noise: what a drone measures of its true state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from snn_controller.frames import Array
from snn_controller.state import State


@dataclass(frozen=True)
class MeasuredState(State):
    """A state whose rotation matrix was measured number by number, so it is only nearly one."""

    matrix: Array  # (..., 3, 3)

    @property
    def rotation(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Rotation matrix (..., 3, 3) as measured."""
        return self.matrix


def measure(state: State, noise: Array) -> State:
    """Return the state with noise (..., 18) on it, in the order of the observation.

    What `observe` makes of it is the noisy observation, clipped after the noise.
    """
    position, matrix, velocity, body_rates = np.split(noise, [3, 12, 15], axis=-1)
    return MeasuredState(
        position=state.position + position,
        quaternion=state.quaternion,
        velocity=state.velocity + velocity,
        body_rates=state.body_rates + body_rates,
        matrix=state.rotation + matrix.reshape(*matrix.shape[:-1], 3, 3),
    )
