"""The paper's reward curriculum: penalties grow linearly, in six steps, as training goes on."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from snn_sim.task import END_COEFFICIENTS, START_COEFFICIENTS, RewardCoefficients
from snn_training.common import Rules

ROUNDING = 1e-9  # progress comes as a quotient; a step must not be missed by its last digit


@dataclass(frozen=True)
class Curriculum:
    """When the reward moves from the start to the end coefficients."""

    steps: int = 6
    """Steps of equal size; 0 trains with the end coefficients from the beginning."""
    until: float = 0.3
    """Share of the training at which the last step is taken."""


def coefficients_at(
    curriculum: Curriculum,
    progress: float,
    *,
    start: RewardCoefficients = START_COEFFICIENTS,
    end: RewardCoefficients = END_COEFFICIENTS,
) -> RewardCoefficients:
    """Return the coefficients in force at a progress of training in [0, 1]."""
    if curriculum.steps == 0:
        return end
    taken = floor(progress / curriculum.until * curriculum.steps + ROUNDING)
    return start.towards(end, min(max(taken, 0), curriculum.steps) / curriculum.steps)


def curriculum_rules(curriculum: Curriculum) -> Rules:
    """Return the rules of a curriculum."""
    return {
        "curriculum.steps": (0 <= curriculum.steps <= 1000, "0 to 1000"),
        "curriculum.until": (0.0 < curriculum.until <= 1.0, "above 0 and at most 1"),
    }
