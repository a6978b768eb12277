"""The cells of the fixed test: where episodes start, what disturbs them, how long they last.

Every episode has random numbers of its own, derived from seed, cell and number: it is the same in
both simulators, and whatever flies before or beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from snn_controller.vehicle import Array, Quadrotor, Reference, State
from snn_sim.task import (
    CONTROL_RATE,
    CRASH_DISTANCE,
    EPISODE_STEPS,
    NOISY,
    NOMINAL,
    ROBUST,
    Disturbance,
    Disturbances,
    draw_disturbance,
    sample_start,
)

# Streams of random numbers that no training draws from. Policies are chosen by the validation's
# episodes and reported by the test's.
STREAMS = {"test": 0x7E57, "validation": 0x7A11}
Split = Literal["test", "validation"]
ORIGIN = Reference(np.zeros(3))  # where the cells hover


@dataclass(frozen=True)
class Cell:
    """One cell of the fixed test."""

    start: str  # distribution of `snn_sim.task.episode`
    disturbances: Disturbances = NOMINAL
    steps: int = EPISODE_STEPS  # cap
    guided_steps: int = 0  # at the beginning, flown by the guide while the policy looks on
    single_start: bool = False  # flown once: more episodes would be copies


# In this order forever: an episode's random numbers depend on the place of its cell.
CELLS: dict[str, Cell] = {
    "easy": Cell("easy", single_start=True),
    "standard": Cell("standard"),
    "hard": Cell("hard"),
    "published": Cell("hard", steps=1000, guided_steps=50),
    "robust": Cell("standard", ROBUST),
    "noisy": Cell("standard", NOISY),
}


def _stay(step: int) -> Reference:
    return ORIGIN


@dataclass(frozen=True)
class Conditions:
    """What an episode is flown under."""

    steps: int = EPISODE_STEPS
    guided_steps: int = 0
    disturbance: Disturbance | None = None  # None flies the nominal drone
    noise: Array | None = None  # (steps, 18) on what is measured in each step
    course: Callable[[int], Reference] = _stay  # step -> what to fly
    crash_distance: float = CRASH_DISTANCE  # m from the reference on an axis

    def noise_at(self, step: int) -> Array | None:
        """Return the noise (18,) of a step, None without any."""
        return None if self.noise is None else self.noise[step]


@dataclass(frozen=True)
class Draw:
    """One episode of a cell before it is flown."""

    state: State
    rotors: Array  # (4,)
    conditions: Conditions


def draw_episode(
    name: str, seed: int, number: int, quadrotor: Quadrotor, *, split: Split = "test"
) -> Draw:
    """Return an episode of a cell, around the origin."""
    cell, rng = CELLS[name], episode_generator(seed, name, number, split=split)
    state, rotors = sample_start(cell.start, rng, target=np.zeros(3), quadrotor=quadrotor)
    disturbance, noise, sizes = None, None, cell.disturbances
    if (
        replace(sizes, position_noise=0, rotation_noise=0, velocity_noise=0, rate_noise=0)
        != NOMINAL
    ):
        disturbance = draw_disturbance(
            sizes, rng, quadrotor=quadrotor, period=1.0 / CONTROL_RATE, steps=cell.steps
        )
    if sizes.noise.any():
        noise = rng.normal(size=(cell.steps, len(sizes.noise))) * sizes.noise
    return Draw(state, rotors, Conditions(cell.steps, cell.guided_steps, disturbance, noise))


def episode_generator(
    seed: int, cell: str, number: int, *, split: Split = "test"
) -> np.random.Generator:
    """Return the generator of one episode, independent of all others and of training."""
    key = (STREAMS[split], list(CELLS).index(cell), number)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
