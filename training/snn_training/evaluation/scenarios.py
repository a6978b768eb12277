"""The fixed test: scenarios that hover, and tracks to follow from near hover.

Where episodes start, what disturbs them, how long they last. Tracks, references and the rule of
survival are those of real flights (`snn_controller.control`, `snn_controller.report`). Take-off and
landing are the geometric controller's there and left out here.

Every episode has random numbers of its own, derived from seed, scenario and number: it is the same
in both simulators, and whatever flies before or beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from snn_controller.control import TASKS
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
ORIGIN = Reference(np.zeros(3))  # where the scenarios hover


@dataclass(frozen=True)
class Scenario:
    """One scenario of the fixed test, a cell of its tables."""

    start: str  # distribution of `snn_sim.task.episode`
    disturbances: Disturbances = NOMINAL
    steps: int = EPISODE_STEPS  # cap
    guided_steps: int = 0  # at the beginning, flown by the controller while the policy looks on
    single_start: bool = False  # flown once: more episodes would be copies


# In this order forever: an episode's random numbers depend on the place of its scenario.
SCENARIOS: dict[str, Scenario] = {
    "easy": Scenario("easy", single_start=True),
    "standard": Scenario("standard"),
    "hard": Scenario("hard"),
    "published": Scenario("hard", steps=1000, guided_steps=50),
    "robust": Scenario("standard", ROBUST),
    "noisy": Scenario("standard", NOISY),
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


@dataclass(frozen=True)
class Draw:
    """One episode or flight before it is flown."""

    state: State
    rotors: Array  # (4,)
    conditions: Conditions


def draw_episode(
    name: str, seed: int, number: int, quadrotor: Quadrotor, *, split: Split = "test"
) -> Draw:
    """Return an episode of a scenario, around the origin."""
    scenario, rng = SCENARIOS[name], episode_generator(seed, name, number, split=split)
    state, rotors = sample_start(scenario.start, rng, target=np.zeros(3), quadrotor=quadrotor)
    disturbance, noise, sizes = None, None, scenario.disturbances
    if (
        replace(sizes, position_noise=0, rotation_noise=0, velocity_noise=0, rate_noise=0)
        != NOMINAL
    ):
        disturbance = draw_disturbance(
            sizes, rng, quadrotor=quadrotor, period=1.0 / CONTROL_RATE, steps=scenario.steps
        )
    if sizes.noise.any():
        noise = rng.normal(size=(scenario.steps, len(sizes.noise))) * sizes.noise
    return Draw(
        state, rotors, Conditions(scenario.steps, scenario.guided_steps, disturbance, noise)
    )


def episode_generator(
    seed: int, scenario: str, number: int, *, split: Split = "test"
) -> np.random.Generator:
    """Return the generator of one episode, independent of all others and of training."""
    key = (STREAMS[split], list(SCENARIOS).index(scenario), number)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


HOVER_POINT = np.array([0.0, 0.0, 1.0])  # m, as in flight
LOST_DISTANCE = 10.0  # m from the reference; surely outside the geofence, so a flight may end there
SETTLING_TIME = 2.0  # s that the errors leave out
SETTLING_STEPS = round(SETTLING_TIME * CONTROL_RATE)
HOLD_TIME = 10.0  # s of the tasks that do not repeat
PERIODS = 2  # of the tasks that do
FIRST_STREAM = 1000  # apart from those of the cells

# In this order forever: a flight's random numbers depend on the place of its track.
TRACKS = ("hover", "step", "figure8", "figure8_fast", "square")


@dataclass(frozen=True)
class Course:
    """The references of a track over the steps."""

    track: str

    def __call__(self, step: int) -> Reference:
        """Return the reference at a step."""
        return TASKS[self.track].reference(step / CONTROL_RATE, HOVER_POINT)


def track_duration(track: str) -> float:
    """Return how long a track is flown in s: two periods after settling, or the time of a hold."""
    period = TASKS[track].period
    return SETTLING_TIME + PERIODS * period if period > 0.0 else HOLD_TIME


def draw_flight(
    track: str, seed: int, number: int, quadrotor: Quadrotor, *, split: Split = "test"
) -> Draw:
    """Return a flight of a track: at rest up to 0.2 m per axis from its first reference."""
    key = (STREAMS[split], FIRST_STREAM + TRACKS.index(track), number)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    course = Course(track)
    state, rotors = sample_start("hover", rng, target=course(0).position, quadrotor=quadrotor)
    steps = round(track_duration(track) * CONTROL_RATE)
    return Draw(state, rotors, Conditions(steps, course=course, crash_distance=LOST_DISTANCE))


def track_references(track: str, steps: int) -> Reference:
    """Return the references (steps,) at the end of each step."""
    course = Course(track)
    references = [course(step) for step in range(1, steps + 1)]
    positions: list[Array] = [reference.position for reference in references]
    return Reference(np.stack(positions), np.stack([x.velocity for x in references]))
