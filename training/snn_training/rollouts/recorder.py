"""What is kept of one episode of every drone while they fly side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE
from snn_sim.envs import ConcatenatedDrones, Drones
from snn_sim.task import EPISODE_STEPS, REWARD_PARTS, RewardCoefficients
from snn_training.data import EpisodeSet, Rows


class EpisodeRecord:
    """What is kept of one episode of every drone."""

    def __init__(self, count: int, steps: int = EPISODE_STEPS) -> None:
        self.observations = np.zeros((count, steps + 1, OBSERVATION_SIZE), np.float32)
        self.actions = np.zeros((count, steps, ACTION_SIZE), np.float32)
        self.applied = np.zeros((count, steps, ACTION_SIZE), np.float32)
        self.parts = np.zeros((count, steps, REWARD_PARTS), np.float32)
        self.lengths = np.zeros(count, np.int64)
        self.flying = np.ones(count, np.bool_)
        self.physics: list[dict[str, Any]] = []
        self._step = 0

    def begin(self, drones: Drones) -> None:
        """Write down the first observations, and what disturbs each episode."""
        self.observations[:, 0] = drones.observations
        self.physics = [x for group in _groups(drones) for x in physics_of(group)]

    def add(
        self,
        commands: Rows,
        applied: Rows,
        following: Rows,
        parts: Rows,
        terminated: NDArray[np.bool_],
    ) -> None:
        """Write down a step of the drones that still fly."""
        flying, step = self.flying, self._step
        self.actions[flying, step] = commands[flying]
        self.applied[flying, step] = applied[flying]
        self.observations[flying, step + 1] = following[flying]
        self.parts[flying, step] = parts[flying]
        self.lengths += flying
        self.flying = flying & ~terminated
        self._step += 1

    def episodes(
        self,
        skills: list[str],
        metadata: Sequence[dict[str, Any]],
        coefficients: RewardCoefficients,
    ) -> EpisodeSet:
        """Return the episodes, paid by some coefficients."""
        rewards = (self.parts @ coefficients.as_array()).astype(np.float32)
        told = [{**a, **b} for a, b in zip(metadata, self.physics, strict=True)]
        return EpisodeSet(
            self.observations,
            self.actions,
            rewards,
            self.lengths,
            ~self.flying,
            self.applied,
            self.parts,
            skills,
            told,
        )


def physics_of(drones: Drones) -> list[dict[str, Any]]:
    """Return what disturbs the present episode of each drone; empty where that is not told."""
    physics = getattr(drones, "physics", None)
    if physics is None:
        return [{} for _ in range(drones.count)]
    delays = physics.delay_shares @ np.arange(3.0) * drones.control_period
    return [
        {
            "mass": float(physics.mass[i, 0]),
            "thrust_scale": float(physics.thrust_scale[i, 0]),
            "delay": float(delays[i]),
            "force": physics.force[i].tolist(),
            "torque": physics.torque[i].tolist(),
            "push": physics.push[i].tolist(),
            "push_start": int(physics.push_start[i, 0]),
        }
        for i in range(drones.count)
    ]


def _groups(drones: Drones) -> Sequence[Drones]:
    return drones.groups if isinstance(drones, ConcatenatedDrones) else (drones,)
