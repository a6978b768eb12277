"""TD3BC with a jump start (JSRL): trains the spiking policy in flight, on the batched twin.

A guide flies the beginning of each episode and the spiking policy, its state warm, the rest; the
policy's share grows until it flies alone. It learns from all flights: to do what the guide would
have done, and what twin critics value.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snn_sim.task import EPISODE_STEPS
from snn_training.algorithms.runner import run_training
from snn_training.algorithms.td3bc.training import (
    PYBULLET,
    SEQUENCE_STUDY,
    SequenceArgs,
    SequenceTraining,
    guide_return,
)
from snn_training.common import (
    bounded,
    check_bounds,
    plain_name,
    require,
    with_budget,
    with_simulator,
)
from snn_training.rollouts import JumpStart, gates_passed, guided_ticks

STUDY = {**SEQUENCE_STUDY, "drones": 256, "ticks": 4}  # room for the jump start to grow


@dataclass
class Args(SequenceArgs):
    """Train the spiking policy by TD3BC with a jump start."""

    name: str = plain_name("jsrl")
    """Name of the run; its folder is runs/NAME."""
    first_ticks: int = bounded(200, 1, 100_000)
    """Ticks that are flown before the first gradient step."""
    ticks: int = bounded(2, 1, 1000)
    """Ticks that are flown before each further one."""
    jump_start: JumpStart = field(default_factory=JumpStart)
    """Who flies when."""


class JumpStartTraining(SequenceTraining):
    """Guide and policy fly in turns; both are learnt from."""

    script = "jsrl"

    def __init__(self, args: Args) -> None:
        """Begin a run."""
        self.options, first = args, np.random.default_rng(args.seed)
        self.level = 0.0  # return of the guide, which gates the growth where growth is gated
        self.rows = []
        super().__init__(args, lambda count: self.horizons(0.0, count, first))

    def prepare(self) -> None:
        """Score the guide where the schedule asks for it, and fly the first ticks."""
        args = self.options
        if args.jump_start.schedule == "gated":
            self.level = guide_return(
                self.guide,
                self.quadrotor,
                seed=args.seed,
                episodes=args.validation,
                action_kind=args.action_kind,
            )
        for _ in range(max(args.first_ticks - self.replay.added, 0)):
            self.fly_tick(0.0)

    def fly(self, progress: float) -> None:
        """Fly what is flown before a gradient step."""
        for _ in range(self.options.ticks):
            self.fly_tick(progress)

    def fly_tick(self, progress: float) -> None:
        """Fly one tick with every drone and store it."""
        flown = self.collector.step(
            self.learner.cpu_actor(),
            lambda count: self.horizons(progress, count, self.rng),
            progress=progress,
        )
        self.replay.add(flown)

    def horizons(self, progress: float, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return how many ticks (count,) the guide flies in the episodes that begin now."""
        jump, returns = self.options.jump_start, [row["return_end"] for row in self.rows]
        passed = gates_passed(jump, returns, self.level)
        return guided_ticks(jump, progress, passed, episode=EPISODE_STEPS, count=count, rng=rng)


def main(args: Args) -> bool:
    """Train as the arguments say; return whether the run is whole."""
    args = with_simulator(with_budget(args, STUDY), PYBULLET)
    check(args)
    return run_training(
        args, lambda: JumpStartTraining(args), iterations=args.intervals, steps=args.updates
    )


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    check_bounds(args)
    least = args.learner.sequence
    first = args.first_ticks >= least, f"{least} (a window) to 100000"
    require({"first-ticks": first})
