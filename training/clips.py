"""Clips: sequences of equal length cut from roll-outs for cloning, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.rollouts import Episodes


class Sequences(NamedTuple):
    """Sequences of equal length; `weights` says which ticks the loss counts."""

    observations: NDArray[np.float32]  # (sequences, ticks, 18)
    labels: NDArray[np.float32]  # (sequences, ticks, 4)
    weights: NDArray[np.float32]  # (sequences, ticks)


def cut_sequences(episodes: Episodes, *, ticks: int, warm_up: int) -> Sequences:
    """Cut episodes into overlapping sequences that start every `ticks - warm_up` ticks.

    A sequence in mid-flight starts with unknown neuron states, so its first `warm_up` ticks only
    fill them and carry no weight. At the start of an episode zero states are right and every tick
    counts. No sequence crosses from one episode into the next; ticks after a crash carry no weight.
    """
    total = episodes.observations.shape[1]
    starts = range(0, total - ticks + 1, ticks - warm_up)
    parts = []
    for start in starts:
        span = slice(start, start + ticks)
        alive = np.arange(start, start + ticks) < episodes.lengths[:, None]
        counted = alive & (np.arange(ticks) >= (warm_up if start else 0))
        keep = counted.any(axis=1)
        parts.append(
            Sequences(
                episodes.observations[keep, span],
                episodes.labels[keep, span],
                counted[keep].astype(np.float32),
            )
        )
    return join(parts)


def join(parts: Sequence[Sequences]) -> Sequences:
    """Return all sequences of several sets in one."""
    return Sequences(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def sample_batch(
    sequences: Sequences, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw sequences with replacement, time first.

    Returns:
        Observations (ticks, size, 18), labels (ticks, size, 4) and weights (ticks, size, 1).
    """
    index = rng.integers(len(sequences.observations), size=size)
    observations, labels, weights = (
        torch.from_numpy(array[index]).transpose(0, 1).contiguous() for array in sequences
    )
    return observations, labels, weights[..., None]
