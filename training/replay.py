"""Transition replay: a ring of rows, one row a tick of all drones, in preallocated arrays.

Nothing is stored twice: the action history of a transition is gathered from the rows before it and,
before its episode's first tick, from the command that the episode began with. Rewards are not
stored at all but their parts, so every batch is paid by the coefficients in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from snn_controller.action import ACTION_SIZE
from snn_controller.errors import UserError
from snn_controller.observation import OBSERVATION_SIZE

from sim.reward import RewardCoefficients
from training.history import GUIDE_INPUT_SIZE, HISTORY_STEPS

REWARD_PARTS = 5  # as `sim.reward.reward_parts` orders them

Rows = NDArray[np.float32]


class Transitions(NamedTuple):
    """One tick of all drones, each array (drones, ...). The episode's truth, no copies of it."""

    observations: Rows  # (drones, 18) before the step
    actions: Rows  # (drones, 4) in [-1, 1] as flown, exploration included
    next_observations: Rows  # (drones, 18) after the step, of the same episode
    reward_parts: Rows  # (drones, 5)
    terminated: NDArray[np.bool_]  # crashed: nothing comes after
    truncated: NDArray[np.bool_]  # cut by the clock: the flight would have gone on
    steps: NDArray[np.int32]  # ticks that the episode had before this one
    start_commands: Rows  # (drones, 4) in [-1, 1], the history before the episode's first tick


class Batch(NamedTuple):
    """Sampled transitions, copies of what is stored."""

    inputs: Rows  # (n, 146) observation and action history
    actions: Rows  # (n, 4)
    rewards: Rows  # (n,)
    next_inputs: Rows  # (n, 146)
    terminated: NDArray[np.bool_]  # (n,) no value comes after
    truncated: NDArray[np.bool_]  # (n,) the value of the next state still counts


class Replay:
    """The last transitions of a batch of drones."""

    def __init__(self, drones: int, capacity: int) -> None:
        """Allocate room for `capacity` transitions, whole rows only.

        Raises:
            UserError: The capacity is too small to hold one action history.
        """
        self.drones, self.rows = drones, capacity // max(drones, 1)
        if drones < 1 or self.rows <= HISTORY_STEPS:
            raise UserError(
                f"a replay of {capacity} transitions is too small for {drones} drones; it must "
                f"hold more than {HISTORY_STEPS} ticks of each, so make it larger"
            )
        self.added = 0  # rows ever added
        shape = (self.rows, drones)
        self._arrays = Transitions(
            observations=np.zeros((*shape, OBSERVATION_SIZE), np.float32),
            actions=np.zeros((*shape, ACTION_SIZE), np.float32),
            next_observations=np.zeros((*shape, OBSERVATION_SIZE), np.float32),
            reward_parts=np.zeros((*shape, REWARD_PARTS), np.float32),
            terminated=np.zeros(shape, np.bool_),
            truncated=np.zeros(shape, np.bool_),
            steps=np.zeros(shape, np.int32),
            start_commands=np.zeros((*shape, ACTION_SIZE), np.float32),
        )

    def __len__(self) -> int:
        """Return the number of stored transitions."""
        return min(self.added, self.rows) * self.drones

    def add(self, transitions: Transitions) -> None:
        """Store a copy of one tick of all drones; the oldest tick makes room when it is full."""
        row = self.added % self.rows
        for array, values in zip(self._arrays, transitions, strict=True):
            array[row] = values
        self.added += 1

    def sample(
        self, count: int, coefficients: RewardCoefficients, rng: np.random.Generator
    ) -> Batch:
        """Draw transitions uniformly, with replacement, of those whose history is still stored.

        Raises:
            ValueError: Nothing is stored yet.
        """
        if self.added == 0:
            raise ValueError("an empty replay cannot be sampled")
        # The history of the oldest rows of a full ring has been overwritten.
        ages = self.added if self.added <= self.rows else self.rows - HISTORY_STEPS
        number = rng.integers(ages * self.drones, size=count)
        age, drone = np.divmod(number, self.drones)
        return self._gather(self.added - 1 - age, drone, coefficients)

    def _gather(
        self,
        row: NDArray[np.int64],
        drone: NDArray[np.int64],
        coefficients: RewardCoefficients,
    ) -> Batch:
        """Return the transitions of rows, counted from the first ever added."""
        slot = row % self.rows * self.drones + drone
        arrays: Any = (x.reshape(-1, *x.shape[2:])[slot] for x in self._arrays)
        taken = Transitions(*arrays)
        histories = self._histories(row, drone, taken)
        weights = np.array(astuple(coefficients), np.float32)
        return Batch(
            inputs=_join(taken.observations, histories[:, :-1]),
            actions=taken.actions,
            rewards=taken.reward_parts @ weights,
            next_inputs=_join(taken.next_observations, histories[:, 1:]),
            terminated=taken.terminated,
            truncated=taken.truncated,
        )

    def _histories(
        self, row: NDArray[np.int64], drone: NDArray[np.int64], taken: Transitions
    ) -> Rows:
        """Return the 32 actions before each transition and its own (n, 33, 4), oldest first."""
        back = np.arange(HISTORY_STEPS, -1, -1)
        slots = (row[:, None] - back) % self.rows * self.drones + drone[:, None]
        actions = self._arrays.actions.reshape(-1, ACTION_SIZE)[slots]
        earlier = back > taken.steps[:, None]  # before the episode
        return np.where(earlier[..., None], taken.start_commands[:, None], actions)

    def snapshot(self) -> dict[str, Any]:
        """Return all that is stored, without copying, for a checkpoint."""
        filled = min(self.added, self.rows)
        arrays = {name: x[:filled] for name, x in self._arrays._asdict().items()}
        return {"added": self.added, "rows": self.rows, "drones": self.drones, "arrays": arrays}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take over what a snapshot of a replay of the same size stored.

        Raises:
            UserError: The replay of the snapshot has another size.
        """
        if (snapshot["rows"], snapshot["drones"]) != (self.rows, self.drones):
            raise UserError("the checkpoint's replay has another size; resume with equal options")
        self.added = int(snapshot["added"])
        for name, values in snapshot["arrays"].items():
            getattr(self._arrays, name)[: len(values)] = values


def _join(observations: Rows, histories: Rows) -> Rows:
    inputs = np.empty((len(observations), GUIDE_INPUT_SIZE), np.float32)
    inputs[:, :OBSERVATION_SIZE] = observations
    inputs[:, OBSERVATION_SIZE:] = histories.reshape(len(histories), -1)
    return inputs
