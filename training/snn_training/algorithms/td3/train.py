"""TD3: trains the guide that jump starts the spiking policy, on either simulator.

    python training/td3.py --name my-guide

The guide is a small perceptron that sees the observation and its own last 32 actions. It hovers
after a few minutes on one core. `--resume` goes on with an interrupted run.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from snn_controller.vehicle import Quadrotor, load_quadrotor
from snn_sim.batched import DroneBatch
from snn_sim.bullet import LARGEST_BATCH
from snn_sim.envs import Simulator, make_drones
from snn_sim.task import HISTORY_STEPS
from snn_training.algorithms.curriculum import Curriculum, coefficients_at, curriculum_rules
from snn_training.algorithms.interval import check_finite, run_rules, save_interval, say_stopped
from snn_training.algorithms.td3.learner import Learner, LearnerConfig, learner_rules
from snn_training.artifacts import ArtifactInfo, export_guide
from snn_training.common import Budget, Rules, require, with_budget, with_simulator
from snn_training.data import Replay
from snn_training.evaluation import Reporter, ReportingConfig, reporting_rules
from snn_training.neurons import SlopeConfig, slope_after, slope_rules
from snn_training.rollouts import VALIDATION_SEED, Collector, validate
from snn_training.runs import POLICY, LearnerRun, open_run

STUDY = {"intervals": 20}  # what --budget study changes
# What --sim pybullet changes: fewer drones fly longer, for as many transitions and updates.
PYBULLET = {"drones": 64, "ticks": 400, "updates": 5}
PANELS = {
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "steady_xy_m": "position error [m]",
    "critic_loss": "critic loss",
}


@dataclass
class Args:
    """Train the guide by TD3."""

    name: str = "td3"
    """Name of the run; its folder is runs/NAME."""
    folder: Path = Path("runs")
    """Where run folders go."""
    resume: bool = False
    """Go on with the run of that name from its last checkpoint; all else must be as it was."""
    seed: int = 0
    """Seed of all randomness; the same seed gives the same guide, bit by bit."""
    airframe: str = "crazyflie21"
    """Airframe to fly."""
    sim: Simulator = "batched"
    """Simulator to learn in: the batched twin, or PyBullet, slower and with 64 drones at most.
    Each interval is validated on the twin, so that the figures can be compared."""
    budget: Budget = "full"
    """`study` cuts the run to less than five minutes on one core, where options are defaults."""
    intervals: int = 40
    """Parts of the run; each ends with a validation and a checkpoint."""
    ticks: int = 100
    """Control ticks that every drone flies in an interval."""
    drones: int = 256
    """Drones that fly side by side."""
    updates: int = 20
    """Gradient steps after each tick."""
    batch: int = 256
    """Transitions a gradient step."""
    replay: int = 500_000
    """Transitions that are kept."""
    starts: tuple[str, ...] = ("standard", "hard", "hover")
    """Where episodes begin, drawn with equal chance; distributions of sim/starts.py."""
    blank_share: float = 0.5
    """Share of episodes whose action history begins with zeros, as it does in flight."""
    first_exploration: float = 0.5
    """Noise on the actions flown at the beginning (standard deviation)."""
    last_exploration: float = 0.1
    """Noise on the actions flown from half of the run on; between, it falls linearly."""
    validation: int = 200
    """Episodes of the standard cell that validate an interval."""
    threads: int = 1
    """Threads of PyTorch; results are reproducible for the same number only."""
    curriculum: Curriculum = field(default_factory=Curriculum)
    """How the reward tightens."""
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    """Networks and step sizes."""
    slope: SlopeConfig = field(default_factory=SlopeConfig)
    """Slope of a spiking actor's surrogate gradient; the adaptive one follows the validation."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """Logs, pictures and the scores at the end."""


def main(args: Args) -> None:
    """Train as the arguments say; Ctrl-C keeps the last checkpoint, from which --resume goes on."""
    args = with_simulator(with_budget(args, STUDY), PYBULLET)
    check(args)
    torch.set_num_threads(args.threads)
    quadrotor = load_quadrotor(args.airframe)
    rng = np.random.default_rng(args.seed)
    drones = make_drones(args.sim, quadrotor, args.drones, starts=args.starts, seed=args.seed)
    run = LearnerRun(
        script="td3",
        folder=args.folder / args.name,
        rng=rng,
        learner=Learner(args.learner, seed=args.seed),
        replay=Replay(args.drones, args.replay),
        collector=Collector(drones, blank_share=args.blank_share, rng=rng),
    )
    open_run(run, asdict(args), seed=args.seed, resume=args.resume)
    reporter = Reporter(run.folder, args.reporting, done=len(run.rows))
    with closing(drones), reporter:
        try:
            train(args, run, quadrotor, reporter)
        except KeyboardInterrupt:
            say_stopped(run.folder)
            return
        tqdm.write(f"wrote {run.folder / POLICY}")
        reporter.finish()


def train(args: Args, run: LearnerRun, quadrotor: Quadrotor, reporter: Reporter) -> None:
    """Fly and learn interval by interval, from where the run stands.

    Raises:
        UserError: The loss is no longer finite; the last checkpoint stays.
    """
    total, done = args.intervals * args.ticks, len(run.rows) * args.ticks
    with tqdm(total=total, initial=done, desc="td3", unit="tick") as progress:
        for number in range(len(run.rows), args.intervals):
            began, losses = time.monotonic(), []
            returns = [row["return_end"] for row in run.rows]
            run.learner.actor.slope = slope_after(args.slope, number / args.intervals, returns)
            for tick in range(number * args.ticks, (number + 1) * args.ticks):
                losses.append(fly_and_learn(args, run, tick / total))
                progress.update()
            check_finite(run, losses)
            scores = score(args, run.learner, quadrotor)
            row = summary(args, run, np.array(losses), scores)
            row["seconds"] = round(time.monotonic() - began, 1)
            progress.set_postfix({"return": row["return_end"], "survival": row["survival"]})
            save_interval(run, row, PANELS, run.learner.actor, partial(export, args, run))
            reporter.interval(row, len(run.rows))


def fly_and_learn(args: Args, run: LearnerRun, progress: float) -> tuple[float, float]:
    """Fly one tick with every drone, take the gradient steps, return loss and value.

    Each transition is paid by the coefficients of now, however old it is.
    """
    learner, replay, rng = run.learner, run.replay, run.rng
    actions = explore(act(learner, run.collector.inputs), exploration_at(args, progress), rng)
    replay.add(run.collector.step(actions))
    coefficients = coefficients_at(args.curriculum, progress)
    learner.set_progress(progress)
    results = [
        learner.update(replay.sample(args.batch, coefficients, rng)) for _ in range(args.updates)
    ]
    loss, value = np.mean(results, axis=0)
    return float(loss), float(value)


@torch.no_grad()
def act(learner: Learner, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the actor's actions (n, 4) without noise."""
    return learner.actor(torch.from_numpy(inputs)).numpy()


def explore(
    actions: NDArray[np.float32], deviation: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return actions with normal noise, in [-1, 1]."""
    noise = deviation * rng.standard_normal(actions.shape, dtype=np.float32)
    return np.clip(actions + noise, -1.0, 1.0, dtype=np.float32)


def exploration_at(args: Args, progress: float) -> float:
    """Return the standard deviation of the noise on flown actions."""
    share = min(2.0 * progress, 1.0)
    return args.first_exploration * (1.0 - share) + args.last_exploration * share


def score(args: Args, learner: Learner, quadrotor: Quadrotor) -> dict[str, float]:
    """Fly the guide as it is on validation starts, always the same ones."""
    seed = VALIDATION_SEED + args.seed
    drones = DroneBatch(quadrotor, args.validation, starts=("standard",), seed=seed)
    return validate(drones, lambda inputs: act(learner, inputs))


def summary(
    args: Args, run: LearnerRun, losses: NDArray[np.float64], scores: dict[str, float]
) -> dict[str, Any]:
    """Return the log's row of the interval that was just flown."""
    interval = len(run.rows) + 1
    return {
        "interval": interval,
        "transitions": interval * args.ticks * args.drones,
        "updates": run.learner.updates,
        "critic_loss": float(f"{losses[:, 0].mean():.4g}"),
        "value": float(f"{losses[:, 1].mean():.4g}"),
        "slope": round(run.learner.actor.slope, 2),
        **{name: float(f"{x:.4g}") if np.isfinite(x) else "" for name, x in scores.items()},
    }


def export(args: Args, run: LearnerRun, path: Path, provenance: dict[str, Any]) -> None:
    """Write the guide as it is."""
    export_guide(run.learner.actor, path, ArtifactInfo(args.airframe, provenance=provenance))


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    rules = _training_rules(args)
    rules |= reporting_rules(args.reporting)
    rules |= slope_rules(args.slope)
    require({**rules, **curriculum_rules(args.curriculum), **learner_rules(args.learner)})


def _training_rules(args: Args) -> Rules:
    smallest = (HISTORY_STEPS + 1) * args.drones
    largest = LARGEST_BATCH if args.sim == "pybullet" else 65_536
    return {
        **run_rules(args),
        "ticks": (1 <= args.ticks <= 100_000, "1 to 100000"),
        "drones": (1 <= args.drones <= largest, f"1 to {largest} with --sim {args.sim}"),
        "updates": (1 <= args.updates <= 10_000, "1 to 10000"),
        "batch": (1 <= args.batch <= 1_000_000, "1 to 1000000"),
        "replay": (
            smallest <= args.replay <= 20_000_000,
            f"{smallest} (33 ticks of every drone) to 20000000",
        ),
        "starts": (len(args.starts) >= 1, "one or more distributions"),
        "blank-share": (0.0 <= args.blank_share <= 1.0, "0 to 1"),
        "first-exploration": (0.0 <= args.first_exploration <= 2.0, "0 to 2"),
        "last-exploration": (0.0 <= args.last_exploration <= 2.0, "0 to 2"),
    }
