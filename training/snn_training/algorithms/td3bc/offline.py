"""TD3BC without flights of its own: the spiking policy learns from a guide's flights alone.

A guide flies a data set, disturbed so that it has to recover; then the policy learns from it as in
`jsrl.py`, by the same gradient steps. What the data set never shows, it has to guess.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from snn_sim.task import EPISODE_STEPS
from snn_training.algorithms.runner import run_training
from snn_training.algorithms.td3bc.training import (
    PYBULLET,
    SEQUENCE_STUDY,
    SequenceArgs,
    SequenceTraining,
)
from snn_training.common import (
    bounded,
    check_bounds,
    plain_name,
    require,
    with_budget,
    with_simulator,
)
from snn_training.rollouts import Exploration

STUDY = {**SEQUENCE_STUDY, "flown_ticks": 750}  # as many as a study's replay holds


@dataclass
class Args(SequenceArgs):
    """Train the spiking policy by TD3BC on a guide's flights."""

    name: str = plain_name("td3bc")
    """Name of the run; its folder is runs/NAME."""
    flown_ticks: int = bounded(1500, 1)
    """Ticks that every drone flies for the data set."""
    exploration: Exploration = field(default_factory=lambda: Exploration(policy=0.0, guide=0.3))
    """Noise on the flown actions; only the guide's matters here."""


class OfflineTraining(SequenceTraining):
    """The guide flies a data set, the policy learns from it."""

    script = "td3bc"

    def __init__(self, args: Args) -> None:
        """Begin a run."""
        self.flown_ticks = args.flown_ticks
        super().__init__(args, all_guided)

    def prepare(self) -> None:
        """Let the guide fly the data set."""
        network = self.learner.cpu_actor()
        for _ in tqdm(range(self.replay.added, self.flown_ticks), desc="data set", unit="tick"):
            self.replay.add(self.collector.step(network, all_guided))


def main(args: Args) -> bool:
    """Train as the arguments say; return whether the run is whole."""
    args = with_simulator(with_budget(args, STUDY), PYBULLET)
    check(args)
    return run_training(
        args, lambda: OfflineTraining(args), iterations=args.intervals, steps=args.updates
    )


def all_guided(count: int) -> NDArray[np.int64]:
    """Return that the guide flies whole episodes (count,)."""
    return np.full(count, EPISODE_STEPS)


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    check_bounds(args)
    least, most = args.learner.sequence, args.replay // max(args.drones, 1)
    allowed = f"{least} (a window) to {most} (what --replay keeps of every drone)"
    require({"flown-ticks": (least <= args.flown_ticks <= most, allowed)})
