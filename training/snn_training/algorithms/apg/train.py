"""Analytic policy gradients: trains a policy by the gradient of a flight's cost through the drone.

The drone is differentiable (`drone.py`), so the cost of a second of flight has an exact gradient in
every weight of the policy, without critic or exploration.

Source: the idea of Wiedemann et al., "Training Efficient Controllers via Analytic Policy Gradient",
ICRA 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snn_controller.vehicle import ActionKind, load_quadrotor
from snn_training.algorithms.apg.flights import FlightPool, PoolConfig
from snn_training.algorithms.apg.learner import ApgConfig, ApgLearner, CostConfig
from snn_training.algorithms.runner import RunOptions, Training, run_training
from snn_training.artifacts import ArtifactInfo, export_policy
from snn_training.common import (
    Budget,
    bounded,
    check_bounds,
    plain_name,
    require,
    with_budget,
)
from snn_training.evaluation import ReportingConfig
from snn_training.networks import NetworkConfig, make_network
from snn_training.rollouts import validate_network
from snn_training.runs import Row

STUDY = {"intervals": 8}  # what --budget study changes
PANELS = {
    "cost": "cost of a tick",
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "steady_xy_m": "position error [m]",
}


@dataclass
class Args(RunOptions):
    """Train a policy by analytic policy gradients."""

    name: str = plain_name("apg")
    """Name of the run; its folder is runs/NAME."""
    airframe: str = "crazyflie21"
    """Airframe to fly."""
    action_kind: ActionKind = "motors"
    """What the policy commands: rotors, or thrust and body rates of an autopilot's rate loop."""
    budget: Budget = "full"
    """`study` cuts the run to about a minute on one core, where options are defaults."""
    intervals: int = bounded(40, 1, 100_000)
    """Parts of the run; each ends with a validation and a checkpoint."""
    updates: int = bounded(20, 1, 100_000)
    """Gradient steps an interval, each over one segment of all flights."""
    ticks: int = bounded(100, 1, 1000)
    """Control ticks of a segment, through which the gradient runs."""
    validation: int = bounded(400, 1, 65_536)
    """Episodes of the standard cell that validate an interval."""
    threads: int = bounded(1, 1, 64)
    """Threads of PyTorch; results are reproducible for the same number only."""
    learner: ApgConfig = field(default_factory=ApgConfig)
    """Step sizes."""
    pool: PoolConfig = field(default_factory=PoolConfig)
    """Flights to learn from."""
    cost: CostConfig = field(default_factory=CostConfig)
    """What flights cost."""
    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(kind="mlp_history", activation="tanh")
    )
    """Shape of the policy."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """What the run shows of itself."""


class ApgTraining(Training[ApgLearner]):
    """Flies all flights on by a segment and follows the gradient of what it cost."""

    script = "apg"
    panels = PANELS

    def __init__(self, args: Args) -> None:
        """Begin a run.

        Raises:
            UserError: There is no such airframe or start.
        """
        self.args, self.quadrotor = args, load_quadrotor(args.airframe)
        network = make_network(args.network, generator=torch.Generator().manual_seed(args.seed))
        learner = ApgLearner(
            args.learner,
            args.cost,
            network,
            self.quadrotor,
            total=args.intervals * args.updates,
            action_kind=args.action_kind,
        )
        self.pool = FlightPool(
            args.pool,
            self.quadrotor,
            network,
            ticks=args.ticks,
            seed=args.seed,
            action_kind=args.action_kind,
        )
        super().__init__(learner, np.random.default_rng(args.seed), {"collector": self.pool})

    def step(self, progress: float) -> tuple[float]:
        """Take one gradient step; return the mean cost of a tick."""
        return (self.learner.update(self.pool),)

    def summary(self, losses: Sequence[Sequence[float]]) -> Row:
        """Return the log's row, with the validation."""
        args, interval = self.args, len(self.rows) + 1
        updates = interval * args.updates
        return {
            "interval": interval,
            "transitions": updates * args.ticks * args.pool.flights,
            "updates": updates,
            "cost": float(f"{np.mean(losses):.4g}"),
            **validate_network(
                self.learner.network,
                self.quadrotor,
                seed=args.seed,
                episodes=args.validation,
                action_kind=args.action_kind,
            ),
        }

    def export(self, path: Path, provenance: dict[str, Any]) -> None:
        """Write the policy as it is."""
        info = ArtifactInfo(self.args.airframe, self.args.action_kind, provenance)
        export_policy(self.learner.network, path, info)


def main(args: Args) -> bool:
    """Train as the arguments say; return whether the run is whole."""
    args = with_budget(args, STUDY)
    check(args)
    return run_training(
        args, lambda: ApgTraining(args), iterations=args.intervals, steps=args.updates
    )


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    check_bounds(args)
    rate = args.network.control_rate == 100.0, "100, that of the batched simulator"
    require({"network.control-rate": rate})
