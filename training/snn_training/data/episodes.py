"""Whole episodes as arrays, whoever flew them: what offline learners learn from.

NumPy only. Rewards are not final: their parts are kept, so `relabel` pays them by any coefficients.
Everything that can be computed from the episodes (returns-to-go, statistics, windows) is computed
when it is asked for and never stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_sim.task import RewardCoefficients

Rows = NDArray[np.float32]
Numbers = NDArray[np.int64]
PART_NAMES = ("position", "velocity", "throttle", "attitude", "survival")


@dataclass(frozen=True)
class EpisodeSet:
    """Episodes side by side, zeros after their ends.

    Step t goes from observation t to observation t + 1 by action t and earns reward t.
    """

    observations: Rows  # (episodes, steps + 1, 18) as the policy sees them, sensor noise included
    actions: Rows  # (episodes, steps, 4) as the pilot commanded them
    rewards: Rows  # (episodes, steps)
    lengths: Numbers  # (episodes,) steps flown
    terminated: NDArray[np.bool_]  # (episodes,) crashed; the others were cut by the clock
    applied: Rows  # (episodes, steps, 4) as flown, after whatever disturbed the commands
    parts: Rows  # (episodes, steps, 5) of the reward, in the order of `RewardCoefficients`
    skills: list[str]  # of the pilots, one an episode
    metadata: list[dict[str, Any]]  # one an episode

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.lengths)

    @property
    def steps(self) -> int:
        """Steps flown in all episodes."""
        return int(self.lengths.sum())

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which steps (episodes, steps) were flown."""
        return np.arange(self.actions.shape[1]) < self.lengths[:, None]

    @property
    def returns(self) -> Rows:
        """Sum of the rewards (episodes,)."""
        return self.rewards.sum(axis=1)


class Normalisation(NamedTuple):
    """Statistics of observations over all steps flown; `(x - mean) / deviation` is at unit size."""

    mean: Rows  # (18,)
    deviation: Rows  # (18,) never zero


class Windows(NamedTuple):
    """Stretches of episodes of equal length, zeros on the left where an episode is younger."""

    observations: Rows  # (n, window, 18)
    actions: Rows  # (n, window, 4) commanded, what is to be learnt
    applied: Rows  # (n, window, 4) flown just before each step; zeros before an episode's first
    rewards: Rows  # (n, window)
    returns_to_go: Rows  # (n, window) what the episode still earns, this step included
    steps: Numbers  # (n, window) number of each step in its episode
    mask: NDArray[np.bool_]  # (n, window) False where padded


def returns_to_go(rewards: Rows, lengths: Numbers, *, discount: float = 1.0) -> Rows:
    """Return what each episode still earns from each step on (episodes, steps), 0 after its end."""
    alive = np.arange(rewards.shape[1]) < lengths[:, None]
    paid = np.where(alive, rewards, 0.0)
    if discount == 1.0:
        return np.cumsum(paid[:, ::-1], axis=1, dtype=np.float64)[:, ::-1].astype(np.float32)
    total, result = np.zeros(len(paid)), np.zeros(paid.shape, np.float32)
    for step in range(paid.shape[1] - 1, -1, -1):
        total = paid[:, step] + discount * total
        result[:, step] = total
    return result


def take(episodes: EpisodeSet, chosen: NDArray[Any]) -> EpisodeSet:
    """Return some episodes, by their numbers or by a mask (episodes,)."""
    numbers = np.arange(len(episodes))[chosen]
    return EpisodeSet(
        episodes.observations[numbers],
        episodes.actions[numbers],
        episodes.rewards[numbers],
        episodes.lengths[numbers],
        episodes.terminated[numbers],
        episodes.applied[numbers],
        episodes.parts[numbers],
        [episodes.skills[i] for i in numbers],
        [episodes.metadata[i] for i in numbers],
    )


def join_sets(sets: Sequence[EpisodeSet]) -> EpisodeSet:
    """Return all episodes of several sets, padded to the longest.

    Raises:
        UserError: There is no set.
    """
    if not sets:
        raise UserError("there are no episodes to join; name at least one dataset")
    steps = max(x.actions.shape[1] for x in sets)
    return EpisodeSet(
        _stack([x.observations for x in sets], steps + 1),
        _stack([x.actions for x in sets], steps),
        _stack([x.rewards for x in sets], steps),
        np.concatenate([x.lengths for x in sets]),
        np.concatenate([x.terminated for x in sets]),
        _stack([x.applied for x in sets], steps),
        _stack([x.parts for x in sets], steps),
        [skill for x in sets for skill in x.skills],
        [entry for x in sets for entry in x.metadata],
    )


def split_by_episode(
    episodes: EpisodeSet, share: float, rng: np.random.Generator
) -> tuple[EpisodeSet, EpisodeSet]:
    """Return a share in [0, 1] of the episodes of every skill, and the others.

    Whole episodes go to one side, because windows of one episode overlap; and every skill is on
    both sides in the same proportion.
    """
    chosen = np.zeros(len(episodes), np.bool_)
    skills = np.array(episodes.skills)
    for skill in sorted(set(episodes.skills)):
        numbers = rng.permutation(np.flatnonzero(skills == skill))
        chosen[numbers[: round(share * len(numbers))]] = True
    return take(episodes, chosen), take(episodes, ~chosen)


def normalisation(episodes: EpisodeSet) -> Normalisation:
    """Return mean and deviation of the observations that actions were chosen on."""
    seen = episodes.observations[:, :-1][episodes.alive].astype(np.float64)
    return Normalisation(
        seen.mean(axis=0).astype(np.float32),
        np.maximum(seen.std(axis=0), 1e-6).astype(np.float32),
    )


def relabel(episodes: EpisodeSet, coefficients: RewardCoefficients) -> EpisodeSet:
    """Return the episodes paid by other coefficients of the reward."""
    rewards = (episodes.parts @ coefficients.as_array()).astype(np.float32)
    paid = {"reward_coefficients": asdict(coefficients)}
    metadata = [{**entry, **paid} for entry in episodes.metadata]
    return replace(episodes, rewards=rewards, metadata=metadata)


def window_ends(episodes: EpisodeSet, *, stride: int = 1) -> tuple[Numbers, Numbers]:
    """Return episode and step (n,), (n,) of every step that a window can end at."""
    numbers, ends = np.nonzero(episodes.alive[:, ::stride])
    return numbers, ends * stride


def cut_windows(
    episodes: EpisodeSet, numbers: Numbers, ends: Numbers, window: int, *, to_go: Rows | None = None
) -> Windows:
    """Cut the windows that end with a step, that step included.

    Args:
        episodes: To cut from.
        numbers: Episode (n,) of each window.
        ends: Last step (n,) of each window, below its episode's length.
        window: Steps of a window; what lies before an episode's first step is padded.
        to_go: `returns_to_go` of the episodes, for who cuts often; None computes them.
    """
    rows = numbers[:, None]
    steps = ends[:, None] + np.arange(1 - window, 1)
    mask, steps = steps >= 0, np.maximum(steps, 0)
    to_go = returns_to_go(episodes.rewards, episodes.lengths) if to_go is None else to_go
    before = np.where((steps > 0)[..., None], episodes.applied[rows, np.maximum(steps - 1, 0)], 0.0)
    padded = mask[..., None]
    return Windows(
        observations=episodes.observations[rows, steps] * padded,
        actions=episodes.actions[rows, steps] * padded,
        applied=before.astype(np.float32) * padded,
        rewards=episodes.rewards[rows, steps] * mask,
        returns_to_go=to_go[rows, steps] * mask,
        steps=steps * mask,
        mask=mask,
    )


def check_episodes(episodes: EpisodeSet, name: str, *, window: int = 1) -> list[str]:
    """Refuse what nothing can be learnt from; return warnings, one sentence each.

    Args:
        episodes: To check.
        name: Of the dataset, for the sentences.
        window: Steps that a learner looks back.

    Raises:
        UserError: There are no steps, a number is not finite, or every episode is shorter than the
            window.
    """
    if episodes.steps == 0:
        raise UserError(f"{name} holds no steps; make it anew with training/dataset.py")
    arrays = (episodes.observations, episodes.actions, episodes.applied, episodes.rewards)
    bad = np.zeros(len(episodes), np.bool_)
    for array in arrays:
        bad |= ~np.isfinite(array).reshape(len(episodes), -1).all(axis=1)
    if bad.any():
        raise UserError(
            f"{name} holds numbers that are not finite, first in episode {int(bad.argmax())} of "
            f"{int(bad.sum())}; make it anew, or leave these episodes out"
        )
    short = int((episodes.lengths < window).sum())
    if short == len(episodes):
        raise UserError(
            f"every episode of {name} is shorter than the window of {window} steps; choose a "
            f"window of at most {int(episodes.lengths.max())}"
        )
    return _warnings(episodes, name, short, window)


def _warnings(episodes: EpisodeSet, name: str, short: int, window: int) -> list[str]:
    warnings, skills = [], Counter(episodes.skills)
    if short:
        warnings.append(
            f"{short} of {len(episodes)} episodes of {name} are shorter than the window of "
            f"{window} steps; their windows are padded"
        )
    if len(skills) == 1:
        warnings.append(
            f"all episodes of {name} are of one skill ({next(iter(skills))}), so a policy that is "
            "asked for other returns has nothing to learn them from; add datasets of other skills"
        )
    return warnings


def _stack(arrays: Sequence[Rows], steps: int) -> Rows:
    """Return arrays (episodes, steps, ...) on each other, with zeros up to so many steps."""
    room = [[(0, 0), (0, steps - x.shape[1]), *[(0, 0)] * (x.ndim - 2)] for x in arrays]
    return np.concatenate([np.pad(x, r) for x, r in zip(arrays, room, strict=True)])
