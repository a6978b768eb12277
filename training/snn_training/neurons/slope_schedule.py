"""Schedules of the surrogate slope k: fixed, by progress, or by how well the policy does.

Pure functions of the progress of the run and of a small state that goes into a checkpoint, so a
resumed run continues its schedule exactly.

Source: Van den Berghe et al., "Adaptive Surrogate Gradients for Sequential Reinforcement Learning
in Spiking Neural Networks", NeurIPS 2025, equation 3,

    k = clip(100 mean_10(p / 2 + dp / 2), 1, 100),

the mean taken over the last ten evaluations, p the score and dp its change. The paper leaves the
unit of the score open; here it is the return scaled to [0, 1], because raw returns would hold k at
its limit. A steady score p gives k = 50 p; more only while the score rises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from snn_training.common import Rules
from snn_training.neurons.surrogate import MAX_SLOPE, MIN_SLOPE

Schedule = Literal["fixed", "interval", "adaptive"]
WINDOW = 10  # evaluations that the adaptive schedule looks back
RETURNS = (0.0, 500.0)  # per episode; what the adaptive slope's score runs over


@dataclass(frozen=True)
class SlopeConfig:
    """How the slope of the surrogate gradient changes over a run."""

    schedule: Schedule = "fixed"
    """`fixed` keeps `start`; `interval` climbs in equal steps; `adaptive` follows the score."""
    start: float = 5.0
    """Slope k at the start, 1 to 100; adaptive: until the first score."""
    end: float = 100.0
    """Slope k at the end of the interval schedule, 1 to 100."""
    intervals: int = 10
    """Intervals of equal length and constant slope of the interval schedule."""


@dataclass(frozen=True)
class SlopeState:
    """What the adaptive schedule remembers: the last scores in [0, 1], oldest first."""

    scores: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {key: list(value) for key, value in asdict(self).items()}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> SlopeState:
        """Return the state that `to_json` wrote.

        Raises:
            ValueError: The values are no such state.
        """
        scores = tuple(float(x) for x in values["scores"])
        if len(scores) > WINDOW + 1 or not all(0.0 <= x <= 1.0 for x in scores):
            raise ValueError("the slope's state needs at most 11 scores from 0 to 1")
        return SlopeState(scores)


def normalised_score(value: float, low: float, high: float) -> float:
    """Return where a return lies between low and high, clipped to [0, 1].

    Raises:
        ValueError: The value is not a number or the range is empty.
    """
    if not low < high or math.isnan(value):
        raise ValueError(f"score {value} in the range {low} to {high} cannot be normalised")
    return min(max((value - low) / (high - low), 0.0), 1.0)


def record_score(state: SlopeState, score: float) -> SlopeState:
    """Return the state after one more evaluation with a score in [0, 1].

    Raises:
        ValueError: The score is outside, or not a number.
    """
    if not 0.0 <= score <= 1.0:
        raise ValueError(f"score {score} is outside 0 to 1; normalise it first")
    return SlopeState((*state.scores, float(score))[-(WINDOW + 1) :])


def slope_at(config: SlopeConfig, progress: float, state: SlopeState) -> float:
    """Return the slope k in [1, 100].

    Args:
        config: The schedule.
        progress: Share of the run that is done, 0 to 1.
        state: Scores so far.

    Raises:
        ValueError: The schedule is unknown.
    """
    if config.schedule == "fixed":
        return clamp_slope(config.start)
    if config.schedule == "interval":
        return interval_slope(config, progress)
    if config.schedule == "adaptive":
        return adaptive_slope(config, state)
    raise ValueError(f"unknown slope schedule '{config.schedule}'")


def slope_after(config: SlopeConfig, progress: float, returns: Sequence[float]) -> float:
    """Return the slope k in [1, 100] after validations with these returns, oldest first."""
    state = SlopeState()
    for value in returns:
        state = record_score(state, normalised_score(value, *RETURNS))
    return slope_at(config, progress, state)


def interval_slope(config: SlopeConfig, progress: float) -> float:
    """Return the slope of the staircase that ends with one interval at `end`."""
    done = min(max(progress, 0.0), 1.0)
    last = max(config.intervals - 1, 1)
    share = min(math.floor(done * config.intervals), last) / last
    return clamp_slope(config.start + share * (config.end - config.start))


def adaptive_slope(config: SlopeConfig, state: SlopeState) -> float:
    """Return the slope that the last scores give; the mean is over those there are.

    The first score of a run has no change yet; once ten more are there it has left the window.
    """
    scores = state.scores
    if not scores:
        return clamp_slope(config.start)
    changes = [after - before for before, after in pairwise(scores)]
    if len(scores) <= WINDOW:
        changes = [0.0, *changes]
    levels = scores[-len(changes) :]
    mean = sum(0.5 * p + 0.5 * dp for p, dp in zip(levels, changes, strict=True)) / len(changes)
    return clamp_slope(MAX_SLOPE * mean)


def clamp_slope(slope: float) -> float:
    """Return the slope, moved into [1, 100]."""
    return min(max(slope, MIN_SLOPE), MAX_SLOPE)


def slope_rules(slope: SlopeConfig) -> Rules:
    """Return the rules of a schedule of the surrogate slope."""
    allowed = f"{MIN_SLOPE:g} to {MAX_SLOPE:g}"
    return {
        "slope.start": (MIN_SLOPE <= slope.start <= MAX_SLOPE, allowed),
        "slope.end": (MIN_SLOPE <= slope.end <= MAX_SLOPE, allowed),
        "slope.intervals": (slope.intervals >= 1, "at least 1"),
    }
