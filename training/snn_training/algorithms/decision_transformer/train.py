"""Offline: a decision transformer, spiking or dense, learns to fly from datasets alone.

    python training/decision_transformer.py --name my-run

It clones what pilots of several skills did, told what return each of their flights still earned; in
flight it is asked for a return and does what led to it. Nothing flies while it learns but the
validation. docs/decision_transformer.md says how the datasets are made. `--resume` goes on with an
interrupted run.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from tqdm import tqdm

from snn_controller.errors import UserError
from snn_controller.vehicle import Quadrotor, load_quadrotor
from snn_training.algorithms.decision_transformer.data import Lanes, Stretches, return_range
from snn_training.algorithms.decision_transformer.learner import (
    LearnerConfig,
    Losses,
    TransformerLearner,
)
from snn_training.algorithms.decision_transformer.rules import transformer_rules
from snn_training.algorithms.decision_transformer.validation import validate_transformer
from snn_training.algorithms.interval import check_finite, run_rules, save_interval, say_stopped
from snn_training.artifacts import ArtifactInfo, export_transformer
from snn_training.common import Budget, Rules, require, with_budget
from snn_training.data import EpisodeSet, check_episodes, load_episodes, split_by_episode, take
from snn_training.evaluation import Reporter, ReportingConfig, reporting_rules
from snn_training.networks.transformer import Conditioning, FlyingTransformer, TransformerConfig
from snn_training.neurons import (
    PlasticityConfig,
    SlopeConfig,
    SlopeState,
    normalised_score,
    record_score,
    slope_at,
    slope_rules,
)
from snn_training.runs import POLICY, LearnerRun, Nothing, open_run

SCRIPT = "decision_transformer"
HELD_OUT = 0.02  # share of the episodes of every skill
RETURNS = (0.0, 500.0)  # per episode; what the adaptive slope's score runs over
TransformerRun: TypeAlias = LearnerRun[TransformerLearner, Lanes]
PANELS = {
    "loss": "cloning loss",
    "held_out": "held-out loss",
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "spike_rate": "spikes a neuron and tick",
}
STUDY = {
    "intervals": 3,
    "updates": 400,
    "validation": 200,
    "reporting": ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0),
}


@dataclass
class Args:
    """Train a decision transformer from datasets."""

    name: str = "transformer"
    """Name of the run; its folder is runs/NAME."""
    folder: Path = Path("runs")
    """Where run folders go."""
    resume: bool = False
    """Go on with the run of that name from its last checkpoint; all else must be as it was."""
    seed: int = 0
    """Seed of all randomness; the same seed gives the same policy, bit by bit."""
    budget: Budget = "full"
    """`study` cuts the run to a few minutes on one core, where options are defaults."""
    datasets: tuple[str, ...] = (
        "drone/return/dense-v0",
        "drone/return/recovery-v0",
        "drone/return/lean-v0",
        "drone/return/medium-v0",
        "drone/return/poor-v0",
        "drone/return/random-v0",
    )
    """Minari ids or folders of datasets, as training/dataset.py makes them."""
    dataset_folder: Path | None = None
    """Where datasets are, instead of $MINARI_DATASETS_PATH or datasets/."""
    best: float = 1.0
    """Share of the episodes of highest return that are kept, as filtered cloning does."""
    target: float = 480.0
    """Return that the validation and, by default, the policy asks for; 500 is perfect hover."""
    intervals: int = 16
    """Parts of the run; each ends with a validation and a checkpoint."""
    updates: int = 1000
    """Gradient steps an interval."""
    validation: int = 300
    """Episodes of each validation."""
    threads: int = 1
    """Threads of PyTorch; results are reproducible for the same number only."""
    stretches: Stretches = field(default_factory=Stretches)
    """How episodes are cut."""
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    """How the network learns."""
    network: TransformerConfig = field(default_factory=TransformerConfig)
    """Shape of the network."""
    plasticity: PlasticityConfig = field(default_factory=PlasticityConfig)
    """Rule by which the exported policy learns on in flight; training never uses it."""
    slope: SlopeConfig = field(default_factory=lambda: SlopeConfig(start=10.0))
    """Slope of the surrogate gradient."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """Logs, pictures and the scores at the end."""


def main(args: Args) -> None:
    """Train as the arguments say; Ctrl-C keeps the last checkpoint, from which --resume goes on."""
    args = with_budget(args, STUDY)
    check(args)
    torch.set_num_threads(args.threads)
    episodes = load(args)
    airframe = str(episodes.metadata[0]["airframe"])
    quadrotor = load_quadrotor(airframe)
    held, learnt = split_by_episode(episodes, HELD_OUT, np.random.default_rng(args.seed))
    conditioning = conditioning_of(args, learnt, quadrotor)
    run = make_run(args, learnt)
    try:
        open_run(run, asdict(args), seed=args.seed, resume=args.resume)
        run.provenance["data"] = summary_of(episodes)
        with Reporter(run.folder, args.reporting, done=len(run.rows)) as reporter:
            learn(args, run, held, conditioning, quadrotor, reporter)
            tqdm.write(f"wrote {run.folder / POLICY}")
            reporter.finish()
    except KeyboardInterrupt:
        say_stopped(args.folder / args.name)


def load(args: Args) -> EpisodeSet:
    """Return the episodes to learn from; what is odd about them is said.

    Raises:
        UserError: A dataset is missing or unusable.
    """
    episodes = load_episodes(args.datasets, root=args.dataset_folder)
    for warning in check_episodes(episodes, "the data", window=args.learner.chunk):
        tqdm.write(f"warning: {warning}", file=sys.stderr)
    rates = {float(entry["control_rate"]) for entry in episodes.metadata}
    if rates != {args.network.control_rate}:
        raise UserError(
            f"the data tick at {min(rates):g} Hz and the network at "
            f"{args.network.control_rate:g} Hz; set --network.control-rate {min(rates):g}"
        )
    if args.best < 1.0:
        least = np.quantile(episodes.returns, 1.0 - args.best)
        episodes = take(episodes, episodes.returns >= least)
    return episodes


def conditioning_of(args: Args, episodes: EpisodeSet, quadrotor: Quadrotor) -> Conditioning:
    """Return what the flight must know of the returns; a target outside the data is moved in."""
    low, high = return_range(episodes) if args.network.conditioned else RETURNS
    target = min(max(args.target, low), high)
    if target != args.target:
        tqdm.write(
            f"warning: the data's returns are {low:.0f} to {high:.0f}, so {target:.0f} is asked "
            f"for instead of {args.target:g}",
            file=sys.stderr,
        )
    return Conditioning(target, low, high, float(quadrotor.hover_throttle))


def make_run(args: Args, episodes: EpisodeSet) -> TransformerRun:
    """Return the parts of a run, at its beginning."""
    learner = TransformerLearner(args.learner, args.network, seed=args.seed)
    lanes = Lanes(episodes, args.learner.batch, args.learner.chunk, args.stretches)
    rng, folder = np.random.default_rng(args.seed), args.folder / args.name
    return LearnerRun(SCRIPT, folder, rng, learner, Nothing(), lanes)


def learn(
    args: Args,
    run: TransformerRun,
    held: EpisodeSet,
    conditioning: Conditioning,
    quadrotor: Quadrotor,
    reporter: Reporter,
) -> None:
    """Learn interval by interval, from where the run stands.

    Raises:
        UserError: The loss is no longer finite; the last checkpoint stays.
    """
    total, done = args.intervals * args.updates, run.learner.updates
    with tqdm(total=total, initial=done, desc=args.network.kind, unit="update") as bar:
        for _ in range(len(run.rows), args.intervals):
            began, losses, slope = time.monotonic(), [], slope_now(args, run)
            for _ in range(args.updates):
                losses.append(run.learner.update(run.collector, slope, total, run.rng))
                bar.update()
            check_finite(run, losses)
            seconds = time.monotonic() - began
            row = {**summary(args, run, losses, slope), "held_out": held_out(args, run, held)}
            row |= validate_transformer(
                flying(args, run, conditioning),
                quadrotor,
                seed=args.seed,
                episodes=args.validation,
            )
            row["seconds"] = round(seconds, 1)
            bar.set_postfix({"return": row["return_end"], "survival": row["survival"]})
            export = partial(write, args, run, conditioning, quadrotor.name)
            save_interval(run, row, PANELS, run.learner.actor, export)
            reporter.interval(row, len(run.rows))


def summary(args: Args, run: TransformerRun, losses: list[Losses], slope: float) -> dict[str, Any]:
    """Return what the learner says of an interval."""
    means = Losses(*np.mean(losses, axis=0))
    return {
        "interval": len(run.rows) + 1,
        "updates": run.learner.updates,
        "loss": float(f"{means.cloning:.4g}"),
        "spike_rate": float(f"{means.rate:.4g}"),
        "slope": round(slope, 2),
    }


def held_out(args: Args, run: TransformerRun, held: EpisodeSet) -> float | str:
    """Return the loss on held-out episodes, always the same; empty where there are none."""
    if len(held) == 0:
        return ""
    lanes = Lanes(held, args.learner.batch, args.learner.chunk, args.stretches)
    return float(f"{run.learner.held_out_loss(lanes, np.random.default_rng(args.seed)):.4g}")


def slope_now(args: Args, run: TransformerRun) -> float:
    """Return the surrogate slope of the next interval, by the log so far."""
    state = SlopeState()
    for row in run.rows:
        state = record_score(state, normalised_score(row["return_end"], *RETURNS))
    return slope_at(args.slope, len(run.rows) / args.intervals, state)


def flying(args: Args, run: TransformerRun, conditioning: Conditioning) -> FlyingTransformer:
    """Return the network as it is now, as it flies."""
    return FlyingTransformer(run.learner.actor, conditioning, args.plasticity)


def write(
    args: Args,
    run: TransformerRun,
    conditioning: Conditioning,
    airframe: str,
    path: Path,
    provenance: dict[str, Any],
) -> None:
    """Write the policy as it is."""
    info = ArtifactInfo(airframe, provenance=provenance)
    export_transformer(flying(args, run, conditioning), path, info)


def summary_of(episodes: EpisodeSet) -> dict[str, Any]:
    """Return what an artifact says of the data: steps and mean return of each skill."""
    skills = np.array(episodes.skills)
    return {
        skill: {
            "episodes": int((skills == skill).sum()),
            "steps": int(episodes.lengths[skills == skill].sum()),
            "return": round(float(episodes.returns[skills == skill].mean()), 1),
        }
        for skill in sorted(set(episodes.skills))
    }


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    rules: Rules = {
        **run_rules(args),
        **transformer_rules(args.network, args.learner, args.stretches, args.plasticity),
        **reporting_rules(args.reporting),
        **slope_rules(args.slope),
        "updates": (1 <= args.updates <= 1_000_000, "1 to 1000000"),
        "best": (0.0 < args.best <= 1.0, "above 0 and at most 1"),
        "datasets": (len(args.datasets) >= 1, "one or more datasets"),
        "target": (-1e6 <= args.target <= 1e6, "a return, about 0 to 500"),
    }
    require(rules)
