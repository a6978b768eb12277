"""Jump start: how long the guide flies at the beginning of an episode, before the policy does.

Pure functions of the progress of the run, of the scores in its log and of a generator, so that a
resumed run goes on exactly. In an episode of H ticks the guide flies the first H - N.

Source: Van den Berghe et al., NeurIPS 2025, section 3.1 (linear), after Uchendu et al., "Jump-Start
Reinforcement Learning", ICML 2023 (random horizons; growth gated by success).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snn_training.common import Rules

Schedule = Literal["linear", "random", "gated", "none"]


@dataclass(frozen=True)
class JumpStart:
    """Who flies when."""

    schedule: Schedule = "linear"
    """`linear`: N grows with the run; `random`: N is drawn anew for every episode, from what
    `linear` has reached; `gated`: N grows a step whenever the policy flies well enough; `none`:
    the policy flies everything."""
    first: int = 50
    """Ticks N at the end of an episode that the policy flies at first."""
    last_guided: int = 50
    """Ticks that the guide flies once N has grown."""
    until: float = 0.4
    """Share of the run at which N has grown (linear, random)."""
    cold_from: float = 0.4
    """Share of the run from which the guide flies no more, as in the fixed test; 1 is never.
    `gated` waits until N has grown."""
    stages: int = 10
    """Steps in which N grows (gated)."""
    gate: float = 0.8
    """Share of the guide's validation return that the policy must reach for a step (gated)."""


def guided_ticks(
    jump: JumpStart,
    progress: float,
    passed: int,
    *,
    episode: int,
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return how many ticks (count,) the guide flies in episodes that begin now.

    Args:
        jump: The schedule.
        progress: Share of the run that is done.
        passed: Validations so far that passed the gate, see `gates_passed`.
        episode: Ticks of an episode.
        count: Episodes that begin.
        rng: Draws the random schedule's horizons.
    """
    longest = max(episode - jump.first, 0)
    shortest = min(jump.last_guided, longest)
    share = passed / jump.stages if jump.schedule == "gated" else progress / jump.until
    grown = jump.schedule != "gated" or share >= 1.0
    if jump.schedule == "none" or (grown and progress >= jump.cold_from):
        return np.zeros(count, np.int64)
    share = min(share, 1.0)
    guided = round(longest + share * (shortest - longest))
    if jump.schedule == "random":
        return rng.integers(guided, longest + 1, size=count)
    return np.full(count, guided)


def gates_passed(jump: JumpStart, returns: Sequence[float], guide: float) -> int:
    """Return how many validations came up to the gate's share of the guide's return."""
    return sum(value >= jump.gate * guide for value in returns)


def jump_start_rules(jump: JumpStart, episode: int) -> Rules:
    """Return the rules of a jump start in episodes of some ticks."""
    return {
        "jump-start.first": (0 <= jump.first <= episode, "0 to the ticks of an episode"),
        "jump-start.last-guided": (0 <= jump.last_guided <= episode, "0 to an episode's ticks"),
        "jump-start.until": (0.0 < jump.until <= 1.0, "above 0 and at most 1"),
        "jump-start.cold-from": (0.0 <= jump.cold_from <= 1.0, "0 to 1"),
        "jump-start.stages": (1 <= jump.stages <= 1000, "1 to 1000"),
        "jump-start.gate": (0.0 <= jump.gate <= 1.0, "0 to 1"),
    }
