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

from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.state import Reference, State

OBSERVATION_VERSION = 1
OBSERVATION_SIZE = 18
POSITION_ERROR_LIMIT = 0.6  # m
VELOCITY_ERROR_LIMIT = 2.0  # m/s


def observe(state: State, reference: Reference) -> NDArray[np.float32]:
    """Return the observation (..., 18) of a state against a reference.

    The clipping is part of the observation, so a far goal looks in flight just as in training.
    """
    rotation = state.rotation
    observation = np.empty((*rotation.shape[:-2], OBSERVATION_SIZE), dtype=np.float32)
    observation[..., 0:3] = _clip(state.position - reference.position, POSITION_ERROR_LIMIT)
    observation[..., 3:12] = rotation.reshape(*rotation.shape[:-2], 9)
    observation[..., 12:15] = _clip(state.velocity - reference.velocity, VELOCITY_ERROR_LIMIT)
    observation[..., 15:18] = state.body_rates
    return observation


def _clip(values: Array, limit: float) -> Array:
    return np.minimum(np.maximum(values, -limit), limit)  # np.clip takes three times as long
