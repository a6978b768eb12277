"""How spikes are trained: surrogate gradients, schedules of their slope k, the price of spikes.

Forward a Heaviside step, backward a fast-sigmoid slope. The slope is fixed, or follows the progress
of the run, or how well the policy does: pure functions of the progress and of a small state that
goes into a checkpoint, so a resumed run continues its schedule exactly.

Source: Van den Berghe et al., "Adaptive Surrogate Gradients for Sequential Reinforcement Learning
in Spiking Neural Networks", NeurIPS 2025, equation 3,

    k = clip(100 mean_10(p / 2 + dp / 2), 1, 100),

the mean taken over the last ten evaluations, p the score and dp its change. The paper leaves the
unit of the score open; here it is the return scaled to [0, 1], because raw returns would hold k at
its limit. A steady score p gives k = 50 p; more only while the score rises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from snn_training.common import bounded

MIN_SLOPE, MAX_SLOPE = 1.0, 100.0


def heaviside(membrane: Tensor, threshold: Tensor) -> Tensor:
    """Return 1 where the membrane is above its threshold, else 0; no gradient."""
    return (membrane > threshold).to(membrane.dtype)


def surrogate_gradient(distance: Tensor, slope: float) -> Tensor:
    """Return 1 / (1 + k |x|)^2 for x = membrane - threshold; it is 1 at the threshold."""
    return (1.0 + slope * distance.abs()).square_().reciprocal_()


def check_slope(slope: float) -> float:
    """Return the slope k if it lies in [1, 100].

    Raises:
        ValueError: It does not.
    """
    if not MIN_SLOPE <= slope <= MAX_SLOPE:
        raise ValueError(f"surrogate slope {slope} is outside {MIN_SLOPE:g} to {MAX_SLOPE:g}")
    return slope


class SurrogateSpike(torch.autograd.Function):
    """`apply(membrane, threshold, slope)`: heaviside whose gradient is the surrogate's."""

    @staticmethod
    def forward(ctx: Any, membrane: Tensor, threshold: Tensor, slope: float) -> Tensor:
        """Return spikes of the membrane's shape."""
        ctx.save_for_backward(membrane, threshold)
        ctx.slope = check_slope(slope)
        return heaviside(membrane, threshold)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of membrane and threshold; the slope gets none."""
        membrane, threshold = ctx.saved_tensors
        grad = grad_outputs[0] * surrogate_gradient(membrane - threshold, ctx.slope)
        return grad, -grad.sum_to_size(threshold.shape), None


Schedule = Literal["fixed", "interval", "adaptive"]
WINDOW = 10  # evaluations that the adaptive schedule looks back
RETURNS = (0.0, 500.0)  # per episode; what the adaptive slope's score runs over


@dataclass(frozen=True)
class SlopeConfig:
    """How the slope of the surrogate gradient changes over a run."""

    schedule: Schedule = "fixed"
    """`fixed` keeps `start`; `interval` climbs in equal steps; `adaptive` follows the score."""
    start: float = bounded(5.0, MIN_SLOPE, MAX_SLOPE)
    """Slope k at the start, 1 to 100; adaptive: until the first score."""
    end: float = bounded(100.0, MIN_SLOPE, MAX_SLOPE)
    """Slope k at the end of the interval schedule, 1 to 100."""
    intervals: int = bounded(10, 1)
    """Intervals of equal length and constant slope of the interval schedule."""


@dataclass(frozen=True)
class SlopeState:
    """What the adaptive schedule remembers: the last scores in [0, 1], oldest first."""

    scores: tuple[float, ...] = ()


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


def sparsity_loss(spikes: Sequence[Tensor], target_rate: float) -> Tensor:
    """Return the mean over layers of the squared excess of their rates.

    Surrogate gradients flow through the spikes.

    Args:
        spikes: Of each layer (ticks, batch, neurons); without any the loss is zero.
        target_rate: Share of neurons that may spike in a tick without cost.
    """
    if not spikes:
        return torch.zeros(())
    rates = torch.stack([layer.mean() for layer in spikes])
    return (rates - target_rate).clamp(min=0.0).square().mean()
