"""Jump start: a guide begins each episode and the policy goes on with it.

The schedule is pure functions of the progress of the run, of the scores in its log and of a
generator, so that a resumed run goes on exactly. In an episode of H ticks the guide flies the first
H - N. Every tick is stored, with what the guide would have done.

Source: Van den Berghe et al., NeurIPS 2025, section 3.1 (linear), after Uchendu et al., "Jump-Start
Reinforcement Learning", ICML 2023 (random horizons; growth gated by success).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from snn_controller.vehicle import ACTION_SIZE
from snn_sim.task import EPISODE_STEPS
from snn_training.common import bounded
from snn_training.data import Flags, Numbers, Rows, Transitions
from snn_training.networks import Network
from snn_training.rollouts.actors import GuidedActor, NetworkActor, ResumableActor
from snn_training.rollouts.collector import Collector

Schedule = Literal["linear", "random", "gated", "none"]
Privileged = Literal["none", "rotors", "all"]
GOLDEN_RATIO = (5.0**0.5 - 1.0) / 2.0
PRIVILEGED_SIZE: dict[Privileged, int] = {"none": 0, "rotors": 4, "all": 10}


@dataclass(frozen=True)
class JumpStart:
    """Who flies when."""

    schedule: Schedule = "linear"
    """`linear`: N grows with the run; `random`: N is drawn anew for every episode, from what
    `linear` has reached; `gated`: N grows a step whenever the policy flies well enough; `none`:
    the policy flies everything."""
    first: int = bounded(50, 0, EPISODE_STEPS, note=", the ticks of an episode")
    """Ticks N at the end of an episode that the policy flies at first."""
    last_guided: int = bounded(50, 0, EPISODE_STEPS, note=", the ticks of an episode")
    """Ticks that the guide flies once N has grown."""
    until: float = bounded(0.4, above=0, at_most=1)
    """Share of the run at which N has grown (linear, random)."""
    cold_from: float = bounded(0.4, 0, 1)
    """Share of the run from which the guide flies no more, as in the fixed test; 1 is never.
    `gated` waits until N has grown."""
    stages: int = bounded(10, 1, 1000)
    """Steps in which N grows (gated)."""
    gate: float = bounded(0.8, 0, 1)
    """Share of the guide's validation return that the policy must reach for a step (gated)."""


def guided_ticks(
    jump: JumpStart,
    progress: float,
    passed: int,
    *,
    episode: int,
    count: int,
    rng: np.random.Generator,
) -> Numbers:
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


@dataclass(frozen=True)
class Exploration:
    """Noise on the flown actions. It wanders, because motors hardly feel white noise."""

    policy: float = bounded(0.1, 0, 2)
    """Noise on the policy's actions, mean over the drones of its standard deviation; they have
    their own sizes, from none to twice this."""
    guide: float = bounded(0.2, 0, 2)
    """The same for the guide's actions."""
    memory: float = bounded(0.9, 0, below=1)
    """Correlation of the noise from tick to tick; 0 makes it white."""
    until: float = bounded(10.0, above=0)
    """Share of the run by which the noise has gone, linearly; far above 1 it hardly fades."""


class SequenceCollector:
    """Drones that guide and policy fly in turns, disturbed so that they have to recover."""

    def __init__(
        self,
        collector: Collector,
        guide: ResumableActor,
        network: Network,
        *,
        exploration: Exploration,
        privileged: Privileged,
        guided: Callable[[int], Numbers],
    ) -> None:
        """Take the drones at the start of their episodes.

        Args:
            collector: Flies them.
            guide: Flies the first ticks of episodes, and says what it would do in the others.
            network: The policy.
            exploration: Noise on what is flown.
            privileged: What critics see beside observation and history: true rotors, or those and
                the force and torque that disturb.
            guided: Draws how many ticks of the next episodes (count -> ticks) the guide flies.
        """
        count = collector.drones.count
        self.collector, self.exploration = collector, exploration
        self.guide, self.student = guide, NetworkActor(network, count)
        self.actor = GuidedActor(guide, self.student, guided(count))
        self.privileged: Privileged = privileged
        self.wander = np.zeros((count, ACTION_SIZE), np.float32)
        # A golden-ratio sequence covers 0 to 2 evenly in every group of neighbouring drones.
        sizes = 2.0 * (np.arange(count) * GOLDEN_RATIO % 1.0)
        self._sizes = sizes.astype(np.float32)[:, None]

    def step(
        self, network: Network, guided: Callable[[int], Numbers], *, progress: float = 0.0
    ) -> Transitions:
        """Fly one tick and return it.

        Args:
            network: The policy as it is now.
            guided: As for the constructor; asked for the episodes that this step begins.
            progress: Share of the run that is done, by which noise fades.
        """
        actor = self.actor
        self.student.use(network)
        actions = actor.act(self.collector)
        actions = actions + self._noise(actor.leads, progress)
        flown = np.clip(actions, -1.0, 1.0, dtype=np.float32)
        before = self.privileged_rows()
        transitions = self.collector.step(flown, watch=self.privileged_rows)
        ended = transitions.terminated | transitions.truncated
        actor.set_applied_action(flown)
        actor.guided[ended] = guided(int(ended.sum()))
        actor.reset(ended)
        return transitions._replace(labels=actor.labels, privileged=before)

    def privileged_rows(self) -> Rows:
        """Return what only critics see now (count, n), at about unit size."""
        drones = self.collector.drones
        if self.privileged == "none":
            return np.zeros((drones.count, 0), np.float32)
        parts = [2.0 * drones.rotors - 1.0]
        if self.privileged == "all":
            weight = drones.quadrotor.mass * drones.quadrotor.gravity
            scale = np.repeat([20.0 / weight, 10_000.0 / weight], 3)
            parts.append(drones.loads * scale)
        return np.concatenate(parts, axis=1).astype(np.float32)

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes in flight, for a checkpoint; the generator is the caller's."""
        return {
            "collector": self.collector.snapshot(),
            "guide": self.guide.snapshot(),
            "states": self.student.snapshot(),
            "guided": self.actor.guided,
            "wander": self.wander,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fly on from a snapshot of as many drones."""
        self.collector.restore(snapshot["collector"])
        self.guide.restore(snapshot["guide"])
        self.student.restore(snapshot["states"])
        self.actor.guided = np.array(snapshot["guided"])
        self.wander = np.array(snapshot["wander"])

    def _noise(self, leads: Flags, progress: float) -> Rows:
        memory, fade = self.exploration.memory, max(1.0 - progress / self.exploration.until, 0.0)
        fresh = self.collector.rng.standard_normal(self.wander.shape, dtype=np.float32)
        self.wander = memory * self.wander + np.float32((1.0 - memory**2) ** 0.5) * fresh
        size = fade * np.where(leads[:, None], self.exploration.guide, self.exploration.policy)
        return size.astype(np.float32) * self._sizes * self.wander
