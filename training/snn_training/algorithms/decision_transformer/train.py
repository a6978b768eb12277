"""Offline: a decision transformer, spiking or dense, learns to fly from datasets alone.

It clones what pilots of several skills did, told what return each of their flights still earned; in
flight it is asked for a return and does what led to it. Nothing flies while it learns but the
validation.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from snn_controller.errors import UserError
from snn_controller.vehicle import ACTION_SIZE, Quadrotor, load_quadrotor
from snn_sim.envs import make_drones
from snn_training.algorithms.decision_transformer.data import Lanes, SegmentConfig, return_range
from snn_training.algorithms.decision_transformer.learner import (
    Losses,
    TransformerLearner,
    TransformerLearnerConfig,
)
from snn_training.algorithms.runner import RunOptions, Training, rounded, run_training, slope_of
from snn_training.artifacts import ArtifactInfo, export_transformer
from snn_training.common import (
    Budget,
    bounded,
    check_bounds,
    plain_name,
    require,
    some,
    with_budget,
)
from snn_training.data import (
    EpisodeSet,
    Flags,
    Rows,
    check_episodes,
    load_episodes,
    split_by_episode,
    take,
)
from snn_training.evaluation import ReportingConfig
from snn_training.networks.transformer import Conditioning, FlyingTransformer, TransformerConfig
from snn_training.neurons import PlasticityConfig, SlopeConfig
from snn_training.rollouts import VALIDATION_SEED, Memoryless, Senses, validate
from snn_training.runs import Row

HELD_OUT = 0.02  # share of the episodes of every skill
EPISODE_RETURNS = (0.0, 500.0)  # that may be asked for where the data does not say
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
class Args(RunOptions):
    """Train a decision transformer from datasets."""

    name: str = plain_name("transformer")
    """Name of the run; its folder is runs/NAME."""
    budget: Budget = "full"
    """`study` cuts the run to a few minutes on one core, where options are defaults."""
    datasets: tuple[str, ...] = some(
        (
            "drone/return/dense-v0",
            "drone/return/recovery-v0",
            "drone/return/lean-v0",
            "drone/return/medium-v0",
            "drone/return/poor-v0",
            "drone/return/random-v0",
        ),
        "datasets",
    )
    """Minari ids or folders of datasets, as training/dataset.py makes them."""
    dataset_folder: Path | None = None
    """Where datasets are, instead of $MINARI_DATASETS_PATH or datasets/."""
    best: float = bounded(1.0, above=0, at_most=1)
    """Share of the episodes of highest return that are kept, as filtered cloning does."""
    target: float = bounded(480.0, -1e6, 1e6, note=", a return, about 0 to 500")
    """Return that the validation and, by default, the policy asks for; 500 is perfect hover."""
    intervals: int = bounded(16, 1, 100_000)
    """Parts of the run; each ends with a validation and a checkpoint."""
    updates: int = bounded(1000, 1, 1_000_000)
    """Gradient steps an interval."""
    validation: int = bounded(300, 1, 65_536)
    """Episodes of each validation."""
    threads: int = bounded(1, 1, 64)
    """Threads of PyTorch; results are reproducible for the same number only."""
    stretches: SegmentConfig = field(default_factory=SegmentConfig)
    """How episodes are cut."""
    learner: TransformerLearnerConfig = field(default_factory=TransformerLearnerConfig)
    """How the network learns."""
    network: TransformerConfig = field(default_factory=TransformerConfig)
    """Shape of the network."""
    plasticity: PlasticityConfig = field(default_factory=PlasticityConfig)
    """Rule by which the exported policy learns on in flight; training never uses it."""
    slope: SlopeConfig = field(default_factory=lambda: SlopeConfig(start=10.0))
    """Slope of the surrogate gradient."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """Logs, pictures and the scores at the end."""


class TransformerTraining(Training[TransformerLearner]):
    """Clones segments of episodes; nothing flies but the validation."""

    script = "decision_transformer"
    panels = PANELS

    def __init__(self, args: Args, episodes: EpisodeSet) -> None:
        """Take the episodes to learn from; some are held out.

        Raises:
            UserError: All episodes have earned the same return.
        """
        self.args, self.slope = args, 1.0
        self.quadrotor = load_quadrotor(str(episodes.metadata[0]["airframe"]))
        split = np.random.default_rng(args.seed)
        self.held, learnt = split_by_episode(episodes, HELD_OUT, split)
        self.conditioning = conditioning_of(args, learnt, self.quadrotor)
        learner = TransformerLearner(args.learner, args.network, seed=args.seed)
        self.lanes = self.lanes_of(learnt)
        super().__init__(learner, np.random.default_rng(args.seed), {"collector": self.lanes})
        self.notes["data"] = summary_of(episodes)

    def begin(self, progress: float) -> None:
        """Choose the surrogate slope."""
        self.slope = slope_of(self, self.args.slope, progress)

    def step(self, progress: float) -> Losses:
        """Take one gradient step."""
        total = self.args.intervals * self.args.updates
        return self.learner.update(self.lanes, self.slope, total, self.rng)

    def summary(self, losses: Sequence[Sequence[float]]) -> Row:
        """Return the log's row, with the validation."""
        means = Losses(*np.mean(losses, axis=0))
        return {
            "interval": len(self.rows) + 1,
            "updates": self.learner.updates,
            "loss": float(f"{means.cloning:.4g}"),
            "spike_rate": float(f"{means.rate:.4g}"),
            "slope": round(self.slope, 2),
            "held_out": self.held_out_loss(),
            **rounded(self.validation()),
        }

    def lanes_of(self, episodes: EpisodeSet) -> Lanes:
        """Return the segments of episodes, side by side."""
        config = self.args.learner
        return Lanes(episodes, config.batch, config.chunk, self.args.stretches)

    def held_out_loss(self) -> float | str:
        """Return the loss on held-out episodes, always the same; empty where there are none."""
        if len(self.held) == 0:
            return ""
        rng = np.random.default_rng(self.args.seed)
        return float(f"{self.learner.held_out_loss(self.lanes_of(self.held), rng):.4g}")

    def validation(self) -> dict[str, float]:
        """Return the scores of standard starts on the batched twin, the same ones for a seed."""
        count, seed = self.args.validation, VALIDATION_SEED + self.args.seed
        drones = make_drones("batched", self.quadrotor, count, starts=("standard",), seed=seed)
        return validate(drones, TransformerActor(self.flying(), count))

    def flying(self) -> FlyingTransformer:
        """Return the network as it is now, as it flies."""
        return FlyingTransformer(self.learner.actor, self.conditioning, self.args.plasticity)

    def export(self, path: Path, provenance: dict[str, Any]) -> None:
        """Write the policy as it is."""
        info = ArtifactInfo(self.quadrotor.name, provenance=provenance)
        export_transformer(self.flying(), path, info)


def main(args: Args) -> bool:
    """Train as the arguments say; return whether the run is whole."""
    args = with_budget(args, STUDY)
    check(args)
    return run_training(
        args,
        lambda: TransformerTraining(args, load(args)),
        iterations=args.intervals,
        steps=args.updates,
    )


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
    low, high = return_range(episodes) if args.network.conditioned else EPISODE_RETURNS
    target = min(max(args.target, low), high)
    if target != args.target:
        tqdm.write(
            f"warning: the data's returns are {low:.0f} to {high:.0f}, so {target:.0f} is asked "
            f"for instead of {args.target:g}",
            file=sys.stderr,
        )
    return Conditioning(target, low, high, float(quadrotor.hover_throttle))


class TransformerActor(Memoryless):
    """A decision transformer, which sees the actions flown, with states for each drone."""

    def __init__(self, flying: FlyingTransformer, count: int) -> None:
        """Take the network, for so many drones."""
        self.flying, self.count = flying, count
        self.asked = torch.full((count, 1), flying.conditioning.target)
        self.states = flying.initial_states(count)

    def reset(self, drones: Flags | None = None) -> None:
        """Begin anew on every drone, or on those of a mask (count,)."""
        if drones is None:
            self.states = self.flying.initial_states(self.count)
        elif drones.any():
            mask = torch.from_numpy(drones)
            for state in self.states.values():
                state[mask] = 0

    @torch.no_grad()
    def act(self, senses: Senses) -> Rows:
        """Return the actions (count, 4) and advance the states."""
        observations = torch.from_numpy(senses.observations.copy())
        flown = torch.from_numpy(senses.histories[:, -ACTION_SIZE:].copy())
        actions, self.states, _ = self.flying(observations, flown, self.asked, self.states)
        return actions.numpy()


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
    check_bounds(args)
    chunk, ticks = args.learner.chunk, args.stretches.ticks
    whole = ticks >= chunk and ticks % chunk == 0
    require({"stretches.ticks": (whole, "a multiple of --learner.chunk")})
