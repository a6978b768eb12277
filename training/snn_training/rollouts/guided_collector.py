"""Guide and policy share the flights: the guide begins an episode, the policy goes on with it.

The policy's state is advanced on every observation, whoever flies, so it is warm when it takes
over. Every tick is stored, with what the guide would have done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle import ACTION_SIZE
from snn_training.data import Transitions
from snn_training.networks import Network
from snn_training.rollouts.collector import Collector
from snn_training.rollouts.guides import Guide

Rows = NDArray[np.float32]
Privileged = Literal["none", "rotors", "all"]
GOLDEN_RATIO = (5.0**0.5 - 1.0) / 2.0
PRIVILEGED_SIZE: dict[Privileged, int] = {"none": 0, "rotors": 4, "all": 10}


@dataclass(frozen=True)
class Exploration:
    """Noise on the flown actions. It wanders, because motors hardly feel white noise."""

    policy: float = 0.1
    """Noise on the policy's actions, mean over the drones of its standard deviation; they have
    their own sizes, from none to twice this."""
    guide: float = 0.2
    """The same for the guide's actions."""
    memory: float = 0.9
    """Correlation of the noise from tick to tick; 0 makes it white."""
    until: float = 10.0
    """Share of the run by which the noise has gone, linearly; far above 1 it hardly fades."""


class SequenceCollector:
    """Drones that guide and policy fly in turns."""

    def __init__(
        self,
        collector: Collector,
        guide: Guide,
        network: Network,
        *,
        exploration: Exploration,
        privileged: Privileged,
        guided: Callable[[int], NDArray[np.int64]],
    ) -> None:
        """Take the drones at the start of their episodes.

        Args:
            collector: Flies them.
            guide: Flies the first ticks of episodes, and says what it would do in the others.
            network: The policy, for the size of its state.
            exploration: Noise on what is flown.
            privileged: What critics see beside observation and history: true rotors, or those and
                the force and torque that disturb.
            guided: Draws how many ticks of the next episodes (count -> ticks) the guide flies.
        """
        count = collector.drones.count
        self.collector, self.guide, self.exploration = collector, guide, exploration
        self.privileged: Privileged = privileged
        self.states = empty_states(network, count)
        self.guided = guided(count)
        self.wander = np.zeros((count, ACTION_SIZE), np.float32)
        # A golden-ratio sequence covers 0 to 2 evenly in every group of neighbouring drones.
        sizes = 2.0 * (np.arange(count) * GOLDEN_RATIO % 1.0)
        self._sizes = sizes.astype(np.float32)[:, None]

    def step(
        self,
        network: Network,
        tick: Callable,
        guided: Callable[[int], NDArray[np.int64]],
        *,
        progress: float = 0.0,
    ) -> Transitions:
        """Fly one tick and return it.

        Args:
            network: The policy.
            tick: `numpy_stepper` of it.
            guided: As for the constructor; asked for the episodes that this step begins.
            progress: Share of the run that is done, by which noise fades.
        """
        collector = self.collector
        labels = self.guide.act(collector)
        actions, self.states, _ = tick(collector.drones.observations.copy(), self.states)
        leads = collector.drones.steps < self.guided
        noise = self._noise(leads, progress)
        flown = np.where(leads[:, None], labels, actions) + noise
        flown = np.clip(flown, -1.0, 1.0, dtype=np.float32)
        before = self.privileged_rows()
        transitions = collector.step(flown, watch=self.privileged_rows)
        self.states = tuple(np.array(x) for x in network.set_applied_action(self.states, flown))
        ended = transitions.terminated | transitions.truncated
        for state in self.states:
            state[ended] = 0.0
        self.guided[ended] = guided(int(ended.sum()))
        self.guide.heed(flown, ended)
        return transitions._replace(labels=labels, privileged=before)

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
            "states": {str(i): x for i, x in enumerate(self.states)},
            "guided": self.guided,
            "wander": self.wander,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fly on from a snapshot of as many drones."""
        self.collector.restore(snapshot["collector"])
        self.guide.restore(snapshot["guide"])
        self.states = tuple(np.array(snapshot["states"][str(i)]) for i in range(len(self.states)))
        self.guided, self.wander = np.array(snapshot["guided"]), np.array(snapshot["wander"])

    def _noise(self, leads: NDArray[np.bool_], progress: float) -> Rows:
        memory, fade = self.exploration.memory, max(1.0 - progress / self.exploration.until, 0.0)
        fresh = self.collector.rng.standard_normal(self.wander.shape, dtype=np.float32)
        self.wander = memory * self.wander + np.float32((1.0 - memory**2) ** 0.5) * fresh
        size = fade * np.where(leads[:, None], self.exploration.guide, self.exploration.policy)
        return size.astype(np.float32) * self._sizes * self.wander


def empty_states(network: Network, count: int) -> tuple[Rows, ...]:
    """Return the states (count, size) of so many drones after a reset, as NumPy."""
    return tuple(x.cpu().numpy() for x in network.initial_states(count))
