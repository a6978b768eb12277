"""Whole episodes as arrays, whoever flew them: what offline learners learn from.

NumPy only. Rewards are not final: their parts are kept, so `relabel` pays them by any coefficients.
Everything that can be computed from the episodes (returns-to-go, transitions, segments) is computed
when it is asked for and never stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_sim.task import GUIDE_INPUT_SIZE, HISTORY_STEPS, RewardCoefficients
from snn_training.data.replay import Batch, Flags, Numbers, Rows

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
    terminated: Flags  # (episodes,) crashed; the others were cut by the clock
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
    def alive(self) -> Flags:
        """Which steps (episodes, steps) were flown."""
        return np.arange(self.actions.shape[1]) < self.lengths[:, None]

    @property
    def returns(self) -> Rows:
        """Sum of the rewards (episodes,)."""
        return self.rewards.sum(axis=1)


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

    Whole episodes go to one side, because segments of one episode overlap; and every skill is on
    both sides in the same proportion.
    """
    chosen = np.zeros(len(episodes), np.bool_)
    skills = np.array(episodes.skills)
    for skill in sorted(set(episodes.skills)):
        numbers = rng.permutation(np.flatnonzero(skills == skill))
        chosen[numbers[: round(share * len(numbers))]] = True
    return take(episodes, chosen), take(episodes, ~chosen)


def relabel(episodes: EpisodeSet, coefficients: RewardCoefficients) -> EpisodeSet:
    """Return the episodes paid by other coefficients of the reward."""
    rewards = (episodes.parts @ coefficients.as_array()).astype(np.float32)
    paid = {"reward_coefficients": asdict(coefficients)}
    metadata = [{**entry, **paid} for entry in episodes.metadata]
    return replace(episodes, rewards=rewards, metadata=metadata)


def all_steps(episodes: EpisodeSet) -> tuple[Numbers, Numbers]:
    """Return episode and step (n,), (n,) of every step that was flown."""
    numbers, steps = np.nonzero(episodes.alive)
    return numbers, steps


def transitions_at(episodes: EpisodeSet, numbers: Numbers, steps: Numbers) -> Batch:
    """Return the transitions of steps (n,) of episodes (n,); actions are those commanded."""
    last = steps == episodes.lengths[numbers] - 1
    return Batch(
        critic_inputs(episodes, numbers, steps),
        episodes.actions[numbers, steps],
        episodes.rewards[numbers, steps],
        critic_inputs(episodes, numbers, steps + 1),
        episodes.terminated[numbers] & last,
    )


def critic_inputs(episodes: EpisodeSet, numbers: Numbers, steps: Numbers) -> Rows:
    """Return what critics see (n, 146) before steps (n,); zeros stand for earlier actions."""
    before = steps[:, None] - np.arange(HISTORY_STEPS, 0, -1)
    known = (before >= 0)[..., None]
    history = episodes.applied[numbers[:, None], np.maximum(before, 0)] * known
    inputs = [episodes.observations[numbers, steps], history.reshape(len(numbers), -1)]
    return np.concatenate(inputs, axis=1).reshape(-1, GUIDE_INPUT_SIZE)


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
