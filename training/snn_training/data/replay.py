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

from snn_controller.errors import UserError
from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE
from snn_sim.task import GUIDE_INPUT_SIZE, HISTORY_STEPS, REWARD_PARTS, RewardCoefficients

Rows = NDArray[np.float32]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]
NOTHING: Rows = np.zeros(0, np.float32)


class Transitions(NamedTuple):
    """One tick of all drones, each array (drones, ...). The episode's truth, no copies of it."""

    observations: Rows  # (drones, 18) before the step
    actions: Rows  # (drones, 4) in [-1, 1] as flown, exploration included
    next_observations: Rows  # (drones, 18) after the step, of the same episode
    reward_parts: Rows  # (drones, 5)
    terminated: Flags  # crashed: nothing comes after
    truncated: Flags  # cut by the clock: the flight would have gone on
    steps: NDArray[np.int32]  # ticks that the episode had before this one
    start_commands: Rows  # (drones, 4) in [-1, 1], the history before the episode's first tick
    labels: Rows = NOTHING  # (drones, 4) what the guide would have done before the step
    privileged: Rows = NOTHING  # (drones, n) what only critics see, before the step
    next_privileged: Rows = NOTHING  # (drones, n) the same after it


class Batch(NamedTuple):
    """Single steps for critics, copies of what is stored."""

    inputs: Rows  # (n, 146 + privileged) observation, action history, what else critics see
    actions: Rows  # (n, 4)
    rewards: Rows  # (n,)
    next_inputs: Rows  # (n, 146 + privileged)
    terminated: Flags  # (n,) crashed: no value comes after, as it does where the clock cut


class Replay:
    """The last transitions of a batch of drones."""

    def __init__(
        self, drones: int, capacity: int, *, labelled: bool = False, privileged: int = 0
    ) -> None:
        """Allocate room for `capacity` transitions, whole rows only.

        Args:
            drones: Drones that fly side by side.
            capacity: Transitions to keep.
            labelled: Whether the guide's actions are stored beside those flown.
            privileged: How many more numbers critics see.

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
        self._begin_rows = np.zeros(0, np.int64)
        self._begin_drones = np.zeros(0, np.int64)
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
            labels=np.zeros((*shape, ACTION_SIZE * labelled), np.float32),
            privileged=np.zeros((*shape, privileged), np.float32),
            next_privileged=np.zeros((*shape, privileged), np.float32),
        )

    def __len__(self) -> int:
        """Return the number of stored transitions."""
        return min(self.added, self.rows) * self.drones

    def add(self, transitions: Transitions) -> None:
        """Store a copy of one tick of all drones; the oldest tick makes room when it is full."""
        row = self.added % self.rows
        for array, values in zip(self._arrays, transitions, strict=True):
            array[row] = values
        self._note_beginnings(self.added)
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
        number = rng.integers((self.added - self.first) * self.drones, size=count)
        age, drone = np.divmod(number, self.drones)
        return self.gather(self.added - 1 - age, drone, coefficients)

    @property
    def first(self) -> int:
        """The oldest row whose history is still stored, counted from the first ever added."""
        # The history of the oldest rows of a full ring has been overwritten.
        return 0 if self.added <= self.rows else self.added - self.rows + HISTORY_STEPS

    def take(self, field: str, row: Numbers, drone: Numbers) -> NDArray[Any]:
        """Return copies of a field of `Transitions` at rows (...), drones (...)."""
        array = getattr(self._arrays, field)
        flat = array.reshape(self.rows * self.drones, *array.shape[2:])
        return flat[row % self.rows * self.drones + drone]

    def beginnings(self, start: int, end: int) -> tuple[Numbers, Numbers]:
        """Return rows and drones (n,), (n,) of the first ticks of episodes in a span of rows."""
        span = slice(*np.searchsorted(self._begin_rows, (start, end)))
        return self._begin_rows[span], self._begin_drones[span]

    def _note_beginnings(self, row: int) -> None:
        """Add the episodes that began in the newest row; forget those that left the ring."""
        drones = np.flatnonzero(self._arrays.steps[row % self.rows] == 0)
        kept = slice(np.searchsorted(self._begin_rows, row - self.rows, "right"), None)
        if len(drones) or kept.start:
            self._begin_rows = np.append(self._begin_rows[kept], np.full(len(drones), row))
            self._begin_drones = np.append(self._begin_drones[kept], drones)

    def gather(
        self,
        row: Numbers,
        drone: Numbers,
        coefficients: RewardCoefficients,
    ) -> Batch:
        """Return the transitions of rows (n,), counted from the first ever added, and drones."""
        weights = np.array(astuple(coefficients), np.float32)
        return Batch(
            inputs=self.inputs(row, drone),
            actions=self.take("actions", row, drone),
            rewards=self.take("reward_parts", row, drone) @ weights,
            next_inputs=self.next_inputs(row, drone),
            terminated=self.take("terminated", row, drone),
        )

    def inputs(self, row: Numbers, drone: Numbers) -> Rows:
        """Return what critics see before transitions (n, 146 + privileged)."""
        history = self._histories(row, drone, np.arange(HISTORY_STEPS, 0, -1))
        return _join(
            self.take("observations", row, drone), history, self.take("privileged", row, drone)
        )

    def next_inputs(self, row: Numbers, drone: Numbers) -> Rows:
        """Return what critics see after transitions (n, 146 + privileged), in their episodes."""
        history = self._histories(row, drone, np.arange(HISTORY_STEPS - 1, -1, -1))
        return _join(
            self.take("next_observations", row, drone),
            history,
            self.take("next_privileged", row, drone),
        )

    def _histories(self, row: Numbers, drone: Numbers, back: Numbers) -> Rows:
        """Return the actions (n, 32, 4) so many ticks before each transition, oldest first."""
        slots = (row[:, None] - back) % self.rows * self.drones + drone[:, None]
        actions = self._arrays.actions.reshape(-1, ACTION_SIZE)[slots]
        earlier = back > self.take("steps", row, drone)[:, None]  # before the episode
        starts = self.take("start_commands", row, drone)
        return np.where(earlier[..., None], starts[:, None], actions)

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
        self._begin_rows, self._begin_drones = self._begin_rows[:0], self._begin_drones[:0]
        for row in range(max(0, self.added - self.rows), self.added):
            self._note_beginnings(row)


def _join(observations: Rows, histories: Rows, privileged: Rows) -> Rows:
    inputs = np.empty((len(observations), GUIDE_INPUT_SIZE + privileged.shape[1]), np.float32)
    inputs[:, :OBSERVATION_SIZE] = observations
    inputs[:, OBSERVATION_SIZE:GUIDE_INPUT_SIZE] = histories.reshape(len(histories), -1)
    inputs[:, GUIDE_INPUT_SIZE:] = privileged
    return inputs
