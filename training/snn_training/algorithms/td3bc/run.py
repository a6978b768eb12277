"""What `jsrl.py` and `td3bc.py` share: options, schedules, validation, log, best policy."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from snn_controller.vehicle import Quadrotor
from snn_sim.envs import Drones
from snn_training.algorithms.curriculum import coefficients_at
from snn_training.algorithms.interval import check_finite, save_interval
from snn_training.algorithms.td3bc.guide_choice import GUIDE_INTERVALS, train_guide
from snn_training.algorithms.td3bc.learner import Losses, SequenceLearner
from snn_training.algorithms.td3bc.options import SequenceArgs, pressure_at, tracks_of
from snn_training.artifacts import ArtifactInfo, export_policy
from snn_training.data import Replay
from snn_training.evaluation import Reporter
from snn_training.neurons import slope_after
from snn_training.rollouts import (
    PRIVILEGED_SIZE,
    Collector,
    SequenceCollector,
    open_guide,
    validate_network,
)
from snn_training.runs import LearnerRun

SequenceRun: TypeAlias = LearnerRun[SequenceLearner, SequenceCollector]
PANELS = {
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "steady_xy_m": "position error [m]",
    "action_step": "action step",
    "critic_loss": "critic loss",
}


def make_run(
    args: SequenceArgs,
    script: str,
    guide: str,
    drones: Drones,
    guided: Callable[[int], NDArray[np.int64]],
) -> SequenceRun:
    """Return the parts of a run, at its beginning.

    Args:
        args: Options.
        script: That trains it.
        guide: To open, as `choose_guide` gives it.
        drones: To fly.
        guided: Draws how many ticks of the first episodes (count -> ticks) the guide flies.
    """
    rng, privileged = np.random.default_rng(args.seed), PRIVILEGED_SIZE[args.privileged]
    learner = SequenceLearner(
        args.learner, args.network, privileged=privileged, device=args.device, seed=args.seed
    )
    collector = SequenceCollector(
        Collector(
            drones, blank_share=0.0, rng=rng, tracks=tracks_of(args), action_kind=args.action_kind
        ),
        open_guide(guide, args.drones, args.action_kind),
        learner.actor,
        exploration=args.exploration,
        privileged=args.privileged,
        guided=guided,
    )
    replay = Replay(args.drones, args.replay, labelled=True, privileged=privileged)
    folder = args.folder / args.name
    return LearnerRun(script, folder, rng, learner, replay, collector)


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
            save_interval(run, row, PANELS, run.learner.actor, partial(export, args, run))
            reporter.interval(row, len(run.rows))


def step(args: SequenceArgs, run: SequenceRun, progress: float, slope: float) -> Losses:
    """Take one gradient step at a progress; old transitions are paid by today's coefficients."""
    run.learner.set_progress(progress)
    coefficients = coefficients_at(args.curriculum, progress)
    return run.learner.update(run.replay, coefficients, pressure_at(args, progress, slope), run.rng)


def slope_now(args: SequenceArgs, run: SequenceRun) -> float:
    """Return the surrogate slope of the next interval, by the log so far."""
    returns = [row["return_end"] for row in run.rows]
    return slope_after(args.slope, len(run.rows) / args.intervals, returns)


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
    network = run.learner.cpu_actor()
    scores = validate_network(
        network,
        quadrotor,
        seed=args.seed,
        episodes=args.validation,
        action_kind=args.action_kind,
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


def export(args: SequenceArgs, run: SequenceRun, path: Path, provenance: dict[str, Any]) -> None:
    """Write the policy as it is."""
    info = ArtifactInfo(args.airframe, args.action_kind, provenance)
    export_policy(run.learner.cpu_actor(), path, info)


def choose_guide(args: SequenceArgs) -> str:
    """Return the guide to open; one that is to be trained is trained now."""
    if args.guide not in GUIDE_INTERVALS:
        return args.guide
    return train_guide(
        args.guide,
        args.folder / args.name,
        intervals=args.guide_intervals,
        seed=args.seed,
        airframe=args.airframe,
        action_kind=args.action_kind,
        threads=args.threads,
    )
