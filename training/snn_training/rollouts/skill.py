"""What makes a good pilot worse, for datasets of several skills, and what it does not notice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle import ACTION_SIZE, Reference
from snn_sim.envs import Drones
from snn_training.rollouts.collector import Collector

HEIGHT = 2  # of the position error in an observation


class Misjudging:
    """Drones of a collector as pilots see them who take a higher point for the target."""

    def __init__(self, collector: Collector, lean: NDArray[np.float32]) -> None:
        """Take how much higher (count,) in m each pilot's point is."""
        self._collector, self._lean = collector, lean

    @property
    def drones(self) -> Drones:
        """The drones, as they are."""
        return self._collector.drones

    @property
    def reference(self) -> Reference:
        """Where the pilots think that the drones are to be."""
        true = self._collector.reference
        rise = np.stack([0.0 * self._lean, 0.0 * self._lean, self._lean], axis=-1)
        return Reference(true.position + rise, true.velocity)

    @property
    def inputs(self) -> NDArray[np.float32]:
        """What the pilots see (count, 146)."""
        inputs = self._collector.inputs.copy()
        inputs[:, HEIGHT] -= self._lean
        return inputs


Rows = NDArray[np.float32]
BURST = 5  # ticks that a slip lasts; motors hardly feel shorter ones


@dataclass(frozen=True)
class Handicap:
    """How pilots slip, and how their commands are disturbed."""

    random_share: float = 0.0
    """Share of ticks whose action is drawn at random and held for 5 ticks; it counts as the
    pilot's own."""
    held_share: float = 0.0
    """Share of ticks that repeat an earlier action for 5 ticks; they count as the pilot's own."""
    noise: float = 0.0
    """Standard deviation of what is added to the pilot's actions on the way to the motors. It
    wanders over about 0.1 s; the pilot's own action stays what is learnt."""
    lean: float = 0.0
    """Largest height in m that a pilot hovers above its target without noticing; each episode draws
    its own, from 0 on. So flights survive and yet earn less, in an order that can be asked for."""


class Slips:
    """The slips of many pilots side by side."""

    def __init__(self, handicap: Handicap, count: int, rng: np.random.Generator) -> None:
        """Begin without a slip."""
        self.handicap, self.rng = handicap, rng
        self.lean = np.zeros(count, np.float32)  # m
        if handicap.lean > 0.0:
            self.lean = (handicap.lean * rng.random(count)).astype(np.float32)
        self._left = np.zeros(count, np.int64)  # ticks that the present slip goes on
        self._slip = np.zeros((count, ACTION_SIZE), np.float32)
        self._last = np.zeros((count, ACTION_SIZE), np.float32)
        self._wander = rng.normal(0.0, 1.0, (count, ACTION_SIZE))

    def command(self, actions: Rows) -> Rows:
        """Return what the pilots command (count, 4) where they wanted `actions`."""
        config, count = self.handicap, len(actions)
        share = config.random_share + config.held_share
        if share > 0.0:
            begins = (self._left == 0) & (self.rng.random(count) < _chance(share))
            random = self.rng.random(count) * share < config.random_share
            drawn = self.rng.uniform(-1.0, 1.0, actions.shape)
            fresh = np.where(random[:, None], drawn, self._last)
            self._slip = np.where(begins[:, None], fresh, self._slip).astype(np.float32)
            self._left = np.where(begins, BURST, self._left)
            actions = np.where((self._left > 0)[:, None], self._slip, actions)
            self._left = np.maximum(self._left - 1, 0)
        self._last = np.clip(actions, -1.0, 1.0, dtype=np.float32)
        return self._last

    def disturb(self, commands: Rows) -> Rows:
        """Return what reaches the motors (count, 4) of the pilots' commands."""
        if self.handicap.noise == 0.0:
            return commands
        fresh = self.rng.normal(0.0, 0.19**0.5, commands.shape)
        self._wander = 0.9 * self._wander + fresh
        return np.clip(commands + self.handicap.noise * self._wander, -1.0, 1.0, dtype=np.float32)


def _chance(share: float) -> float:
    """Return the chance a free tick has to begin a slip, so that slips fill a share of all."""
    return share / (share + BURST * (1.0 - share))
