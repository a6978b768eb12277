"""The last actions of many drones, kept in a ring that is read without copying."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE

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


class ActionHistory:
    """The last actions of each drone; reading them costs nothing and adding a step two copies.

    Every step is written twice, half a ring apart, so that the last ones always lie in a row.
    """

    def __init__(self, count: int, steps: int) -> None:
        """Remember that many steps of that many drones, zeros at first."""
        self._ring = np.zeros((2 * steps, count, ACTION_SIZE), np.float32)
        self.steps, self._next = steps, 0

    @property
    def actions(self) -> NDArray[np.float32]:
        """The last actions (count, steps, 4), oldest first: a view that the next step changes."""
        return self._ring[self._next : self._next + self.steps].transpose(1, 0, 2)

    def begin(self, drones: NDArray[np.int64], actions: ArrayLike) -> None:
        """Let some drones' pasts be as if each one's action (n, 4) had been given all the time."""
        self._ring[:, drones] = actions

    def append(self, actions: NDArray[np.floating]) -> None:
        """Add a step's actions (count, 4), clipped to [-1, 1]; the oldest ones fall out."""
        if self.steps == 0:
            return
        row = self._ring[self._next]
        np.clip(actions, -1.0, 1.0, out=row, casting="same_kind")
        self._ring[self._next + self.steps] = row
        self._next = (self._next + 1) % self.steps

    def snapshot(self) -> NDArray[np.float32]:
        """Return a copy (count, steps, 4)."""
        return self.actions.copy()

    def restore(self, actions: NDArray[np.float32]) -> None:
        """Take over a snapshot (count, steps, 4).

        Raises:
            UserError: It is of another number of drones or steps.
        """
        if np.shape(actions) != self.actions.shape:
            raise UserError(
                f"the snapshot's histories {np.shape(actions)} do not fit those of these drones "
                f"{self.actions.shape}: restore it into a batch like the one it was taken from"
            )
        self._next = 0
        self._ring[: self.steps] = self._ring[self.steps :] = actions.transpose(1, 0, 2)
