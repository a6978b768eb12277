"""Action history: the last 32 actions, oldest first, which the guide and the critics see.

With it 146 numbers go in: the observation (18), then the history (32 x 4, flattened).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from snn_controller.action import ACTION_SIZE
from snn_controller.observation import OBSERVATION_SIZE

HISTORY_STEPS = 32
HISTORY_SIZE = HISTORY_STEPS * ACTION_SIZE
GUIDE_INPUT_SIZE = OBSERVATION_SIZE + HISTORY_SIZE


def constant_history(commands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return histories (n, 128) as if each command (n, 4) had been given all the time."""
    return np.tile(commands, (1, HISTORY_STEPS))


def append_action(
    histories: NDArray[np.float32], actions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return histories (n, 128) with the oldest action dropped and the newest (n, 4) at the end."""
    return np.concatenate([histories[:, ACTION_SIZE:], actions], axis=1)
