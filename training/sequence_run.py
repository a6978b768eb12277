"""What `jsrl.py` and `td3bc.py` share: options, schedules, validation, log, best policy."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from snn_controller.errors import UserError
from snn_controller.quadrotor import Quadrotor
from tqdm import tqdm

from sim.disturbances import NOMINAL, ROBUST, Disturbances
from sim.drone_maker import make_drones
from sim.drones import Drones, Simulator
from sim.rules import EPISODE_STEPS
from training.budget import Budget
from training.curriculum import Curriculum, coefficients_at
from training.export import ArtifactInfo, export_policy
from training.guide_choice import train_guide
from training.learner_run import LearnerRun, log_row, save_run
from training.network_config import NetworkConfig
from training.network_pilot import validate_network
from training.reporting import Reporter, ReportingConfig
from training.rollouts import EpisodeConfig
from training.runs import CHECKPOINT, POLICY, plot_log
from training.sequence_collector import Exploration, Privileged, SequenceCollector
from training.sequence_learner import Losses, Pressure, SequenceConfig, SequenceLearner
from training.slopes import SlopeConfig, SlopeState, normalised_score, record_score, slope_at

SequenceRun: TypeAlias = LearnerRun[SequenceLearner, SequenceCollector]
RETURNS = (0.0, 500.0)  # per episode; what the adaptive slope's score runs over
DISTURBANCES: dict[str, Disturbances] = {
    "nominal": NOMINAL,
    "mixed": replace(
        ROBUST,
        mass=0.1,
        inertia=0.1,
        thrust=0.075,
        lag_low=0.75,
        lag_high=1.5,
        max_delay=0.01,
        force=ROBUST.force / 2.0,
        torque=ROBUST.torque / 2.0,
        push=0.1,
    ),
    "robust": ROBUST,
}
PANELS = {
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "steady_xy_m": "position error [m]",
    "action_step": "action step",
    "critic_loss": "critic loss",
}


@dataclass
class SequenceArgs:
    """Options that the scripts share."""

    name: str = "sequences"
    """Name of the run; its folder is runs/NAME."""
    folder: Path = Path("runs")
    """Where run folders go."""
    resume: bool = False
    """Go on with the run of that name from its last checkpoint; all else must be as it was."""
    seed: int = 0
    """Seed of all randomness; the same seed gives the same policy, bit by bit."""
    airframe: str = "crazyflie21"
    """Airframe to fly."""
    budget: Budget = "full"
    """`study` cuts the run to about a minute on one core, where options are defaults."""
    sim: Simulator = "batched"
    """Simulator to fly in: the compiled twin, or PyBullet, slower and with fewer drones."""
    guide: str = "geometric"
    """Who guides: `geometric` (the controller on the true state), `td3` (an actor that is trained
    first), a folder of a run of training/td3.py, or a policy.onnx file."""
    guide_intervals: int = 12
    """Intervals of training/td3.py that train the guide, where it is `td3`."""
    drones: int = 512
    """Drones that fly side by side."""
    intervals: int = 30
    """Parts of the run; each ends with a validation and a checkpoint."""
    updates: int = 250
    """Gradient steps an interval."""
    epochs: int = 300
    """Epochs of the run, the unit that the weight of cloning decays by."""
    replay: int = 1_000_000
    """Transitions that are kept."""
    starts: tuple[str, ...] = ("standard", "hard", "hover")
    """Where episodes begin, drawn with equal chance; distributions of sim/starts.py."""
    disturbances: Literal["nominal", "mixed", "robust"] = "nominal"
    """What disturbs episodes: nothing, half of the robust cell's sizes, or all of them."""
    moving_share: float = 0.0
    """Share of episodes whose reference moves along sines."""
    step_share: float = 0.0
    """Share of episodes whose reference jumps once."""
    privileged: Privileged = "none"
    """What critics see beside observation and history: `rotors`, or `all`: rotors and the force
    and torque that disturb."""
    validation: int = 400
    """Episodes of the standard cell that validate an interval."""
    threads: int = 1
    """Threads of PyTorch; results are reproducible for the same number only."""
    device: str = "cpu"
    """Where PyTorch computes the gradient steps, `cpu` or `cuda`."""
    exploration: Exploration = field(default_factory=Exploration)
    """Noise on the flown actions."""
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(kernel="auto"))
    """Shape of the policy."""
    slope: SlopeConfig = field(default_factory=SlopeConfig)
    """Slope of the surrogate gradient; the adaptive one follows the validation's return."""
    curriculum: Curriculum = field(default_factory=Curriculum)
    """How the reward tightens."""
    learner: SequenceConfig = field(default_factory=SequenceConfig)
    """Critics, windows and step sizes."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """Logs, pictures and the scores at the end."""


def learn(
    args: SequenceArgs,
    run: SequenceRun,
    quadrotor: Quadrotor,
    reporter: Reporter,
    fly: Callable[[float], None],
) -> None:
    """Fly and learn interval by interval, from where the run stands.

    Args:
        args: Options.
        run: Parts of the run.
        quadrotor: Airframe that validates.
        reporter: Shows the run.
        fly: Called with the progress in [0, 1] before each gradient step.

    Raises:
        UserError: The loss is no longer finite; the last checkpoint stays.
    """
    total, done = args.intervals * args.updates, len(run.rows) * args.updates
    with tqdm(total=total, initial=done, desc=run.script, unit="update") as bar:
        for number in range(len(run.rows), args.intervals):
            began, losses = time.monotonic(), []
            slope = slope_now(args, run)
            for update in range(number * args.updates, (number + 1) * args.updates):
                fly(update / total)
                losses.append(step(args, run, update / total, slope))
                bar.update()
            check_finite(run, losses)
            row = summary(args, run, losses, slope, quadrotor)
            row["seconds"] = round(time.monotonic() - began, 1)
            bar.set_postfix(
                {"return": row["return_end"], "survival": row["survival"], "slope": row["slope"]}
            )
            save_interval(args, run, row)
            reporter.interval(row, len(run.rows))


def step(args: SequenceArgs, run: SequenceRun, progress: float, slope: float) -> Losses:
    """Take one gradient step at a progress; old transitions are paid by today's coefficients."""
    run.learner.set_progress(progress)
    coefficients = coefficients_at(args.curriculum, progress)
    return run.learner.update(run.replay, coefficients, pressure_at(args, progress, slope), run.rng)


def pressure_at(args: SequenceArgs, progress: float, slope: float) -> Pressure:
    """Return what pulls on the actor: the value once critics have learnt, cloning less and less."""
    config = args.learner
    value = config.alpha if progress >= config.value_from else 0.0
    epoch = int(progress * args.epochs)
    return Pressure(value, config.bc_weight * config.bc_decay**epoch, slope)


def slope_now(args: SequenceArgs, run: SequenceRun) -> float:
    """Return the surrogate slope of the next interval, by the log so far."""
    state = SlopeState()
    for row in run.rows:
        state = record_score(state, normalised_score(row["return_end"], *RETURNS))
    return slope_at(args.slope, len(run.rows) / args.intervals, state)


def summary(
    args: SequenceArgs,
    run: SequenceRun,
    losses: list[Losses],
    slope: float,
    quadrotor: Quadrotor,
) -> dict[str, Any]:
    """Return the log's row of the interval that was just flown, with its validation."""
    means = Losses(*np.mean(losses, axis=0))
    progress = len(run.rows) / args.intervals
    scores = validate_network(
        run.learner.actor, quadrotor, seed=args.seed, episodes=args.validation
    )
    return {
        "interval": len(run.rows) + 1,
        "transitions": run.replay.added * run.replay.drones,
        "updates": run.learner.updates,
        **{f"{name}_loss": float(f"{x:.4g}") for name, x in means._asdict().items()},
        "bc_weight": round(pressure_at(args, progress, slope).cloning, 4),
        "slope": round(slope, 2),
        **scores,
    }


def save_interval(args: SequenceArgs, run: SequenceRun, row: Mapping[str, Any]) -> None:
    """Save artifact, log, picture and, last, the checkpoint that makes the interval count.

    The artifact is that of the best interval so far, by the return of its validation.
    """
    if row["return_end"] >= max((x["return_end"] for x in run.rows), default=-np.inf):
        info = ArtifactInfo(args.airframe, provenance={**run.provenance, "validation": dict(row)})
        export_policy(copy.deepcopy(run.learner.actor).cpu(), run.folder / POLICY, info)
        run.best = copy.deepcopy(run.learner.actor.state_dict())
    log_row(run, dict(row))
    plot_log(run.folder, PANELS, x="interval")
    save_run(run)


def check_finite(run: SequenceRun, losses: list[Losses]) -> None:
    """Stop before anything is saved that is not finite.

    Raises:
        UserError: A loss or a weight is not finite.
    """
    if not (np.isfinite(losses).all() and run.learner.is_finite()):
        raise UserError(
            f"the loss is no longer finite after {run.learner.updates} updates; the last "
            f"checkpoint in {run.folder} is good, so start again with smaller learning rates"
        )


def choose_guide(args: SequenceArgs) -> str:
    """Return the guide to open; one that is to be trained is trained now."""
    if args.guide != "td3":
        return args.guide
    return train_guide(
        args.folder / args.name,
        intervals=args.guide_intervals,
        seed=args.seed,
        airframe=args.airframe,
        threads=args.threads,
    )


def say_stopped(args: SequenceArgs) -> None:
    """Tell what an interrupted run has left behind."""
    folder = args.folder / args.name
    tqdm.write(f"stopped early; {folder / CHECKPOINT} holds the last whole interval")
    tqdm.write("go on with the same command and --resume")


def drones_of(args: SequenceArgs, quadrotor: Quadrotor) -> Drones:
    """Return the drones to fly.

    Raises:
        UserError: A number is impossible or a start unknown.
    """
    return make_drones(
        args.sim,
        quadrotor,
        args.drones,
        starts=args.starts,
        disturbances=DISTURBANCES[args.disturbances],
        seed=args.seed,
    )


def tracks_of(args: SequenceArgs) -> EpisodeConfig | None:
    """Return how references move; None holds them at the origin."""
    if args.moving_share == args.step_share == 0.0:
        return None
    return EpisodeConfig(
        ticks=EPISODE_STEPS, moving_share=args.moving_share, step_share=args.step_share
    )


def use_device(args: SequenceArgs) -> None:
    """Make PyTorch ready.

    Raises:
        UserError: The device is not there.
    """
    torch.set_num_threads(args.threads)
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA device here; choose --device cpu")
