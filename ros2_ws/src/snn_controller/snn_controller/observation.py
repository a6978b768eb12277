"""Observation version 1: the 18 numbers a policy sees. The only definition of it.

| numbers | content | unit |
|---|---|---|
| 0-2 | position error p - p_ref in the world, clipped to +-0.6 per axis | m |
| 3-11 | rotation matrix body to world, row-major | - |
| 12-14 | velocity error v - v_ref in the world, clipped to +-2 per axis | m/s |
| 15-17 | body rates | rad/s |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snn_controller.state import Reference, State

OBSERVATION_VERSION = 1
OBSERVATION_SIZE = 18
POSITION_ERROR_LIMIT = 0.6  # m
VELOCITY_ERROR_LIMIT = 2.0  # m/s


def observe(state: State, reference: Reference) -> NDArray[np.float32]:
    """Return the observation (..., 18) of a state against a reference.

    The clipping is part of the observation, so a far goal looks in flight just as in training.
    """
    position_error = np.clip(
        state.position - reference.position, -POSITION_ERROR_LIMIT, POSITION_ERROR_LIMIT
    )
    velocity_error = np.clip(
        state.velocity - reference.velocity, -VELOCITY_ERROR_LIMIT, VELOCITY_ERROR_LIMIT
    )
    rotation = state.rotation
    return np.concatenate(
        [
            position_error,
            rotation.reshape(*rotation.shape[:-2], 9),
            velocity_error,
            state.body_rates,
        ],
        axis=-1,
    ).astype(np.float32)
