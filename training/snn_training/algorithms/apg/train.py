"""Analytic policy gradients: trains a policy by the gradient of a flight's cost through the drone.

    python training/apg.py --name my-guide

The drone is differentiable (`differentiable_drone.py`), so the cost of a second of flight has an
exact gradient in every weight of the policy, without critic or exploration. By default it trains
the perceptron that sees its own last 32 actions, in about five minutes on one core: the best guide
there is for `jsrl.py --guide runs/my-guide/policy.onnx`. `--network.kind` trains any other network,
spiking ones too, whose spikes then have surrogate gradients. `--resume` goes on with a run.

Source: the idea of Wiedemann et al., "Training Efficient Controllers via Analytic Policy Gradient",
ICRA 2023.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from snn_controller.vehicle import ActionKind, load_quadrotor
from snn_training.algorithms.apg.cost import CostConfig, cost_rules
from snn_training.algorithms.apg.flights import FlightPool, PoolConfig, pool_rules
from snn_training.algorithms.apg.learner import ApgConfig, ApgLearner, apg_rules
from snn_training.algorithms.interval import check_finite, run_rules, save_interval, say_stopped
from snn_training.artifacts import ArtifactInfo, export_policy
from snn_training.common import Budget, require, with_budget
from snn_training.evaluation import Reporter, ReportingConfig, reporting_rules
from snn_training.networks import NetworkConfig, make_network, network_rules
from snn_training.rollouts import validate_network
from snn_training.runs import POLICY, LearnerRun, Nothing, open_run

STUDY = {"intervals": 8}  # what --budget study changes
PANELS = {
    "cost": "cost of a tick",
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "steady_xy_m": "position error [m]",
}


@dataclass
class Args:
    """Train a policy by analytic policy gradients."""

    name: str = "apg"
    """Name of the run; its folder is runs/NAME."""
    folder: Path = Path("runs")
    """Where run folders go."""
    resume: bool = False
    """Go on with the run of that name from its last checkpoint; all else must be as it was."""
    seed: int = 0
    """Seed of all randomness; the same seed gives the same policy, bit by bit."""
    airframe: str = "crazyflie21"
    """Airframe to fly."""
    action_kind: ActionKind = "motors"
    """What the policy commands: rotors, or thrust and body rates of an autopilot's rate loop."""
    budget: Budget = "full"
    """`study` cuts the run to about a minute on one core, where options are defaults."""
    intervals: int = 40
    """Parts of the run; each ends with a validation and a checkpoint."""
    updates: int = 20
    """Gradient steps an interval, each over one segment of all flights."""
    ticks: int = 100
    """Control ticks of a segment, through which the gradient runs."""
    validation: int = 400
    """Episodes of the standard cell that validate an interval."""
    threads: int = 1
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


ApgRun = LearnerRun[ApgLearner, FlightPool]


def main(args: Args) -> None:
    """Train as the arguments say; Ctrl-C keeps the last checkpoint, from which --resume goes on."""
    args = with_budget(args, STUDY)
    check(args)
    torch.set_num_threads(args.threads)
    run = make_run(args)
    open_run(run, asdict(args), seed=args.seed, resume=args.resume)
    try:
        with Reporter(run.folder, args.reporting, done=len(run.rows)) as reporter:
            train(args, run, reporter)
            reporter.finish()
    except KeyboardInterrupt:
        say_stopped(run.folder)
        return
    tqdm.write(f"wrote {run.folder / POLICY}")


def make_run(args: Args) -> ApgRun:
    """Return the parts of a run, at its beginning."""
    quadrotor = load_quadrotor(args.airframe)
    network = make_network(args.network, generator=torch.Generator().manual_seed(args.seed))
    total = args.intervals * args.updates
    return LearnerRun(
        script="apg",
        folder=args.folder / args.name,
        rng=np.random.default_rng(args.seed),
        learner=ApgLearner(
            args.learner, args.cost, network, quadrotor, total=total, action_kind=args.action_kind
        ),
        replay=Nothing(),
        collector=FlightPool(
            args.pool,
            quadrotor,
            network,
            ticks=args.ticks,
            seed=args.seed,
            action_kind=args.action_kind,
        ),
    )


def train(args: Args, run: ApgRun, reporter: Reporter) -> None:
    """Fly and learn interval by interval, from where the run stands.

    Raises:
        UserError: The cost is no longer finite; the last checkpoint stays.
    """
    total, done = args.intervals * args.updates, len(run.rows) * args.updates
    with tqdm(total=total, initial=done, desc="apg", unit="update") as progress:
        for _ in range(len(run.rows), args.intervals):
            began, costs = time.monotonic(), []
            for _ in range(args.updates):
                costs.append(run.learner.update(run.collector))
                progress.update()
            check_finite(run, costs)
            row = summary(args, run, costs)
            row["seconds"] = round(time.monotonic() - began, 1)
            progress.set_postfix({"return": row["return_end"], "survival": row["survival"]})
            save_interval(run, row, PANELS, run.learner.network, partial(export, args, run))
            reporter.interval(row, row["interval"])


def summary(args: Args, run: ApgRun, costs: list[float]) -> dict[str, Any]:
    """Return the log's row of the interval that was just flown, with its validation."""
    interval = len(run.rows) + 1
    updates = interval * args.updates
    network, quadrotor = run.learner.network, run.learner.quadrotor
    return {
        "interval": interval,
        "transitions": updates * args.ticks * args.pool.flights,
        "updates": updates,
        "cost": float(f"{np.mean(costs):.4g}"),
        **validate_network(
            network,
            quadrotor,
            seed=args.seed,
            episodes=args.validation,
            action_kind=args.action_kind,
        ),
    }


def export(args: Args, run: ApgRun, path: Path, provenance: dict[str, Any]) -> None:
    """Write the policy as it is."""
    info = ArtifactInfo(args.airframe, args.action_kind, provenance)
    export_policy(run.learner.network, path, info)


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    own = {
        **run_rules(args),
        "updates": (1 <= args.updates <= 100_000, "1 to 100000"),
        "ticks": (1 <= args.ticks <= 1000, "1 to 1000"),
        "network.control-rate": (args.network.control_rate == 100.0, "100, the twin's"),
    }
    parts = {**apg_rules(args.learner), **pool_rules(args.pool), **cost_rules(args.cost)}
    shared = {**network_rules(args.network), **reporting_rules(args.reporting)}
    require({**parts, **shared, **own})  # where both have a rule, this script's own counts
