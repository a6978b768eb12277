"""The tracks of the fixed test: tasks that are flown from near hover, and how they are scored.

Tracks, references and the rule of survival are those of real flights (`snn_controller.control`,
`snn_controller.report`). Take-off and landing are the guide's there and left out here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_controller.control import TASKS
from snn_controller.report import FlightBounds, find_failure
from snn_controller.vehicle import Array, Quadrotor, Reference
from snn_sim.task import CONTROL_RATE, sample_start
from snn_training.evaluation.columns import episode_columns
from snn_training.evaluation.metrics import STEADY_STEPS, Scores, mean_step
from snn_training.evaluation.pybullet import Episode
from snn_training.evaluation.scenarios import STREAMS, Conditions, Draw, Split

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


def score_flight(episode: Episode, track: str) -> Scores:
    """Return the scores of one flight; errors of survivors only, NaN otherwise.

    `rms_m` runs over all but the first 2 s, `steady_m` over the last second.
    """
    references = track_references(track, len(episode.actions))
    columns = episode_columns(episode, references, period=1.0 / CONTROL_RATE)
    survived = find_failure(columns, FlightBounds(track_duration(track))) is None
    error = np.linalg.norm(episode.states.position - references.position, axis=1)
    counted, steady = error[SETTLING_STEPS:], error[-STEADY_STEPS:]
    return {
        "survival": float(survived),
        "rms_m": float(np.sqrt(np.mean(counted**2))) if survived else float("nan"),
        "steady_m": float(np.mean(steady)) if survived else float("nan"),
        "action_step": mean_step(episode.actions),
    }


def track_references(track: str, steps: int) -> Reference:
    """Return the references (steps,) at the end of each step."""
    course = Course(track)
    references = [course(step) for step in range(1, steps + 1)]
    positions: list[Array] = [reference.position for reference in references]
    return Reference(np.stack(positions), np.stack([x.velocity for x in references]))
