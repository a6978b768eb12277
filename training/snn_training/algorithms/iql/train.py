"""IQL: trains a policy on datasets alone; or clones them, or goes on from another policy.

    python training/iql.py --name my-run --dataset drone/hover/expert-v0 drone/hover/medium-v0
    python training/iql.py --name tuned --dataset drone/hover/mine-v0 --init hover \
        --learner.beta 0 --learner.actor-rate 3e-4

Datasets come from training/dataset.py. `--learner.beta 0` clones all of their actions alike, and
`--init` begins with the weights of a policy, so both together fine-tune it on recorded flights.
`--resume` goes on with an interrupted run.
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

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_controller.vehicle import Quadrotor, load_quadrotor
from snn_training.algorithms.interval import check_finite, run_rules, save_interval, say_stopped
from snn_training.algorithms.iql.learner import IQLConfig, IQLLearner, Losses, learner_rules
from snn_training.algorithms.td3bc.options import SMOOTH_NETWORK
from snn_training.artifacts import ArtifactInfo, export_policy, load_network
from snn_training.common import Rules, require
from snn_training.data import EpisodeSet, check_episodes, load_episodes, split_by_episode
from snn_training.evaluation import Reporter, ReportingConfig, reporting_rules
from snn_training.networks import Network, NetworkConfig, make_network, network_rules
from snn_training.neurons import (
    SlopeConfig,
    SlopeState,
    normalised_score,
    record_score,
    slope_at,
    slope_rules,
)
from snn_training.rollouts import validate_network
from snn_training.runs import POLICY, LearnerRun, Nothing, open_run

RETURNS = (0.0, 500.0)  # per episode; what the adaptive slope's score runs over
PANELS = {
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "held_out_loss": "held-out loss",
    "critic_loss": "critic loss",
}


@dataclass
class Args:
    """Train a policy on datasets by implicit Q-learning."""

    dataset: tuple[str, ...] = ()
    """Datasets to learn from: their Minari ids, or their folders."""
    name: str = "iql"
    """Name of the run; its folder is runs/NAME."""
    folder: Path = Path("runs")
    """Where run folders go."""
    resume: bool = False
    """Go on with the run of that name from its last checkpoint; all else must be as it was."""
    init: str = ""
    """Begin with the weights of this policy: a policy.onnx file, the folder of a run, or the name
    of a shipped policy (hover, hover_mlp). Its network replaces --network."""
    seed: int = 0
    """Seed of all randomness; the same seed gives the same policy, bit by bit."""
    intervals: int = 20
    """Parts of the run; each ends with a validation and a checkpoint."""
    updates: int = 250
    """Gradient steps an interval."""
    held_out: float = 0.05
    """Share of the episodes of each skill that nothing learns from."""
    validation: int = 400
    """Episodes of the standard cell that validate an interval."""
    threads: int = 1
    """Threads of PyTorch; results are reproducible for the same number only."""
    network: NetworkConfig = field(default_factory=lambda: SMOOTH_NETWORK)
    """Shape of the policy."""
    slope: SlopeConfig = field(default_factory=SlopeConfig)
    """Slope of the surrogate gradient; the adaptive one follows the validation's return."""
    learner: IQLConfig = field(default_factory=IQLConfig)
    """Critics, windows and step sizes."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """Logs, pictures and the scores at the end."""


def main(args: Args) -> None:
    """Train as the arguments say; Ctrl-C keeps the last checkpoint, from which --resume goes on."""
    check(args)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    learnt, held_out = load_data(args)
    story, actor = learnt.metadata[0], make_actor(args, learnt.metadata[0])
    run = LearnerRun(
        script="iql",
        folder=args.folder / args.name,
        rng=rng,
        learner=IQLLearner(args.learner, actor, learnt, seed=args.seed),
        replay=Nothing(),
        collector=Nothing(),
    )
    config = {**asdict(args), "network": asdict(actor.config)}
    open_run(run, config, seed=args.seed, resume=args.resume)
    with Reporter(run.folder, args.reporting, done=len(run.rows)) as reporter:
        try:
            train(args, run, held_out, load_quadrotor(story["airframe"]), reporter)
        except KeyboardInterrupt:
            say_stopped(run.folder)
            return
        tqdm.write(f"wrote {run.folder / POLICY}")
        reporter.finish()


def load_data(args: Args) -> tuple[EpisodeSet, EpisodeSet]:
    """Return the episodes to learn from, and those that are held out.

    Raises:
        UserError: A dataset is unusable.
    """
    episodes, name = load_episodes(args.dataset), " and ".join(args.dataset)
    for sentence in check_episodes(episodes, name, window=args.learner.warm_up + 1):
        tqdm.write(f"note: {sentence}")
    rng = np.random.default_rng([args.seed, 1])  # the same split when a run is resumed
    held_out, learnt = split_by_episode(episodes, args.held_out, rng)
    return learnt, held_out


def make_actor(args: Args, story: dict[str, Any]) -> Network:
    """Return the policy to train: a new one, or that of --init.

    Raises:
        UserError: The policy of --init is unusable, or made for something else than the data.
    """
    if not args.init:
        generator = torch.Generator().manual_seed(args.seed)
        return _at_rate(make_network(args.network, generator=generator), story)
    source = Path(args.init)
    actor, metadata = load_network(source if source.is_dir() else policy_path(args.init))
    if metadata.action_kind != story["action_kind"]:
        raise UserError(
            f"{args.init} commands {metadata.action_kind} and the data {story['action_kind']}; "
            "give a policy and data of one kind"
        )
    return _at_rate(actor, story)


def train(
    args: Args,
    run: LearnerRun[IQLLearner, Nothing],
    held_out: EpisodeSet,
    quadrotor: Quadrotor,
    reporter: Reporter,
) -> None:
    """Learn interval by interval, from where the run stands.

    Raises:
        UserError: The loss is no longer finite; the last checkpoint stays.
    """
    total, done = args.intervals * args.updates, len(run.rows) * args.updates
    with tqdm(total=total, initial=done, desc="iql", unit="update") as bar:
        for number in range(len(run.rows), args.intervals):
            began, losses, slope = time.monotonic(), [], slope_now(args, run)
            for update in range(number * args.updates, (number + 1) * args.updates):
                run.learner.set_progress(update / total)
                losses.append(run.learner.update(slope, run.rng))
                bar.update()
            check_finite(run, losses)
            row = summary(args, run, losses, held_out, quadrotor)
            row |= {"slope": round(slope, 2), "seconds": round(time.monotonic() - began, 1)}
            bar.set_postfix({"return": row["return_end"], "survival": row["survival"]})
            save_interval(run, row, PANELS, run.learner.actor, partial(export, run))
            reporter.interval(row, len(run.rows))


def slope_now(args: Args, run: LearnerRun[IQLLearner, Nothing]) -> float:
    """Return the surrogate slope of the next interval, by the log so far."""
    state = SlopeState()
    for row in run.rows:
        state = record_score(state, normalised_score(row["return_end"], *RETURNS))
    return slope_at(args.slope, len(run.rows) / args.intervals, state)


def summary(
    args: Args,
    run: LearnerRun[IQLLearner, Nothing],
    losses: list[Losses],
    held_out: EpisodeSet,
    quadrotor: Quadrotor,
) -> dict[str, Any]:
    """Return the log's row of the interval that was just learnt, with its validation."""
    learner = run.learner
    means = Losses(*np.mean(losses, axis=0))
    held = learner.held_out_loss(held_out, np.random.default_rng(args.seed)) if held_out else None
    return {
        "interval": len(run.rows) + 1,
        "updates": learner.updates,
        "critic_loss": float(f"{means.critic:.4g}"),
        "value": float(f"{means.value:.4g}"),
        "actor_loss": float(f"{means.actor:.4g}"),
        "mean_weight": float(f"{means.weight:.4g}"),
        "held_out_loss": "" if held is None else float(f"{held:.4g}"),
        **validate_network(
            learner.actor,
            quadrotor,
            seed=args.seed,
            episodes=args.validation,
            action_kind=learner.episodes.metadata[0]["action_kind"],
        ),
    }


def export(run: LearnerRun[IQLLearner, Nothing], path: Path, provenance: dict[str, Any]) -> None:
    """Write the policy as it is."""
    story = run.learner.episodes.metadata[0]
    info = ArtifactInfo(story["airframe"], story["action_kind"], provenance)
    export_policy(run.learner.actor, path, info)


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    if not args.dataset:
        raise UserError("there is nothing to learn from; give --dataset, as dataset.py names it")
    rules: Rules = {
        **run_rules(args),
        **reporting_rules(args.reporting),
        **network_rules(args.network),
        **slope_rules(args.slope),
        **learner_rules(args.learner),
        "updates": (1 <= args.updates <= 1_000_000, "1 to 1000000"),
        "held-out": (0.0 <= args.held_out < 1.0, "0 or more and below 1"),
    }
    require(rules)


def _at_rate(actor: Network, story: dict[str, Any]) -> Network:
    """Return the policy if it ticks as often as the data does.

    Raises:
        UserError: It does not.
    """
    if actor.config.control_rate != story["control_rate"]:
        raise UserError(
            f"the policy ticks at {actor.config.control_rate:g} Hz and the data at "
            f"{story['control_rate']:g} Hz; give --network.control-rate or another --init"
        )
    return actor
