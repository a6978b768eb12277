"""What a decision transformer learns from: segments of episodes, cut into chunks that follow.

Every lane of a batch flies along a segment of an episode, a chunk an update, with the states that
the chunk before left: that is what the policy does in flight, and nothing is padded or computed
twice. A segment begins from reset states, as a policy does that takes over in mid-flight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_controller.errors import UserError
from snn_training.common import bounded
from snn_training.data import EpisodeSet
from snn_training.networks.transformer import HORIZON, mean_returns_to_go

RANGE = (1.0, 99.0)  # percentiles of the episodes' returns that may be asked for


@dataclass(frozen=True)
class SegmentConfig:
    """How episodes are cut."""

    ticks: int = bounded(60, 1)
    """Ticks of a segment, a multiple of the chunk."""
    from_start: float = bounded(0.5, 0, 1)
    """Share of segments that begin where the episode does, which is where flights are lost or
    saved; the others begin anywhere."""


class Chunk(NamedTuple):
    """One update's data, time first, (T, lanes, ...)."""

    observations: Tensor  # 18
    last_actions: Tensor  # 4, applied in the tick before
    returns: Tensor  # 1, mean reward a tick to come
    actions: Tensor  # 4, commanded: what is to be learnt
    weights: Tensor  # 1, zero where the episode has ended
    keep: Tensor  # (lanes, 1) zero where a segment begins


class Lanes:
    """Segments side by side; `chunk` gives the next ticks of all. Draws by a generator given."""

    def __init__(self, episodes: EpisodeSet, lanes: int, ticks: int, config: SegmentConfig) -> None:
        """Hold the episodes as tensors; `ticks` is the length of a chunk."""
        self.lanes, self.ticks, self.config = lanes, ticks, config
        actions, applied = episodes.actions, episodes.applied
        before = np.concatenate([np.zeros_like(applied[:, :1]), applied[:, :-1]], axis=1)
        returns = mean_returns_to_go(episodes.rewards, episodes.lengths)
        self._tables = tuple(
            torch.from_numpy(np.ascontiguousarray(x))
            for x in (episodes.observations[:, :-1], before, returns[..., None], actions)
        )
        self._lengths = episodes.lengths.astype(np.int64)
        self._chances = np.cumsum(self._lengths / self._lengths.sum())
        self._episode = np.zeros(lanes, np.int64)
        self._tick = np.zeros(lanes, np.int64)
        self._left = np.zeros(lanes, np.int64)

    def chunk(self, rng: np.random.Generator) -> Chunk:
        """Return the next ticks of all lanes; those at the end of a segment begin another."""
        done = self._left <= 0
        self._begin(done, rng)
        steps = self._tick + np.arange(self.ticks)[:, None]
        alive = (steps < self._lengths[self._episode]).astype(np.float32)
        last = self._tables[0].shape[1] - 1
        where = self._episode[None].repeat(self.ticks, 0), np.minimum(steps, last)
        rows = tuple(torch.from_numpy(x) for x in where)
        tables = [table[rows] for table in self._tables]
        self._tick += self.ticks
        self._left -= self.ticks
        self._left[self._tick >= self._lengths[self._episode]] = 0
        return Chunk(
            *tables,
            weights=torch.from_numpy(alive)[..., None],
            keep=torch.from_numpy(~done).float()[:, None],
        )

    def snapshot(self) -> dict[str, Any]:
        """Return where every lane is."""
        return {"episode": self._episode, "tick": self._tick, "left": self._left}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self._episode, self._tick, self._left = (
            np.array(snapshot[name]) for name in ("episode", "tick", "left")
        )

    def _begin(self, done: NDArray[np.bool_], rng: np.random.Generator) -> None:
        count, config = int(done.sum()), self.config
        if not count:
            return
        episode = np.searchsorted(self._chances, rng.random(count), side="right")
        episode = np.minimum(episode, len(self._lengths) - 1)
        room = np.maximum(self._lengths[episode] - self.ticks, 0)
        tick = np.floor(rng.random(count) * (room + 1)).astype(np.int64)
        self._tick[done] = np.where(rng.random(count) < config.from_start, 0, tick)
        self._episode[done] = episode
        # the first segments differ in length, so that lanes do not begin anew all at once
        fresh = bool((self._left == 0).all()) and count == self.lanes
        chunks = config.ticks // self.ticks
        self._left[done] = self.ticks * (rng.integers(1, chunks + 1, count) if fresh else chunks)


def return_range(episodes: EpisodeSet) -> tuple[float, float]:
    """Return the range that returns-to-go of the data cover, as returns of an episode.

    Raises:
        UserError: All episodes have earned the same, so nothing can be asked for.
    """
    alive = np.arange(episodes.rewards.shape[1]) < episodes.lengths[:, None]
    means = mean_returns_to_go(episodes.rewards, episodes.lengths)[alive]
    low, high = (float(HORIZON * x) for x in np.percentile(means, RANGE))
    if not high - low > 1e-3:
        raise UserError(
            "all episodes have earned the same return, so a policy cannot learn what another would "
            "ask of it; add datasets of other skills, or train with --network.no-conditioned"
        )
    return low, high
