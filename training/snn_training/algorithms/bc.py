"""Behavioural cloning: the spiking policy learns to do what the guide does.

Round 0 clones the guide's own flights, disturbed so that it has to recover. In every later round
the student flies, the guide labels what it would have done, and the data joins all earlier (dataset
aggregation, DAgger). With `--rounds 1` small errors add up to states that the guide never visits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_controller.control import GuideGains
from snn_controller.vehicle import load_quadrotor
from snn_sim.bullet import Drone
from snn_sim.task import EpisodeConfig
from snn_training.algorithms.runner import Kept, RunOptions, Training, run_training
from snn_training.artifacts import ArtifactInfo, export_policy
from snn_training.common import (
    Budget,
    bounded,
    check_bounds,
    plain_name,
    require,
    with_budget,
)
from snn_training.data import (
    Demonstrations,
    cut_demonstrations,
    join_segments,
    sample_demonstrations,
)
from snn_training.evaluation import ReportingConfig
from snn_training.networks import NetworkConfig, make_network
from snn_training.neurons import (
    SlopeConfig,
    SlopeState,
    record_score,
    slope_at,
    sparsity_loss,
)
from snn_training.rollouts import (
    TEACHER_GAINS,
    NetworkActor,
    demonstrate,
    flight_score,
    validate_network,
)
from snn_training.runs import Row

PANELS = {"loss": "loss", "steady_error": "position error [m]", "lost": "lost episodes"}
STEADY_TICKS = 50  # ticks at the end of a roll-out whose position error is reported
SPIKES = "spike_statistics"  # in the provenance of a run
STUDY = {"flights": 4, "updates": 125}  # what --budget study changes


@dataclass
class Args(RunOptions):
    """Clone the guide into a spiking policy."""

    name: str = plain_name("bc")
    """Name of the run; its folder is runs/NAME."""
    airframe: str = "crazyflie21"
    """Airframe to fly."""
    budget: Budget = "full"
    """`study` cuts the run to less than five minutes on one core, where options are defaults."""
    rounds: int = bounded(12, 1)
    """Rounds of data collection and training; the guide flies the first, the student the others."""
    drones: int = bounded(32, 1, 512)
    """Drones that fly side by side; each world takes about 32 MB of memory."""
    flights: int = bounded(8, 1)
    """Episodes that each drone flies in a round."""
    updates: int = bounded(500, 1)
    """Gradient steps a round."""
    batch: int = bounded(64, 1)
    """Sequences a gradient step."""
    sequence: int = bounded(100, 1)
    """Ticks of a sequence."""
    warm_up: int = bounded(50, 0)
    """Ticks that fill the neuron states of a sequence cut out of mid-flight."""
    learning_rate: float = bounded(5e-3, above=0, at_most=1)
    """Adam's step size at the start; it falls to zero along a cosine."""
    time_constant_speed: float = bounded(10.0, 0, 100)
    """How many times larger the step of the time constants is; they are learnt as logarithms."""
    huber: float = bounded(0.05, above=0)
    """Error of an action up to which the loss is quadratic; beyond, it is linear."""
    sparsity: float = bounded(0.0, 0, 10_000)
    """Weight of what spiking layers fire beyond the target rate; about 0.3 makes them sparse."""
    target_rate: float = bounded(0.1, 0, 1)
    """Share of a layer's neurons that may spike in a tick without cost."""
    guide_noise: float = bounded(0.3, 0, 2)
    """Disturbance of the guide's actions in round 0 (standard deviation)."""
    student_noise: float = bounded(0.1, 0, 2)
    """Disturbance of the student's actions in later rounds (standard deviation)."""
    threads: int = bounded(1, 1, 64)
    """Threads of PyTorch; results are reproducible for the same number only."""
    guide: GuideGains = field(default_factory=lambda: TEACHER_GAINS)
    """Gains of the guide that is cloned."""
    episodes: EpisodeConfig = field(default_factory=EpisodeConfig)
    """Starts and references of the roll-outs."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Shape of the policy."""
    slope: SlopeConfig = field(default_factory=SlopeConfig)
    """Slope of the surrogate gradient; the adaptive one follows how near the student flies."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """Logs, pictures and the scores at the end."""


class CloningLearner(Kept):
    """Policy and optimiser; `update` takes one gradient step."""

    kept = ("actor", "optimizer", "schedule")

    def __init__(self, args: Args) -> None:
        """Make the policy; membrane time constants learn with a larger step."""
        self.args = args
        generator = torch.Generator().manual_seed(args.seed)
        self.actor = make_network(args.network, generator=generator)
        slow = self.actor.time_constants()
        others = [x for x in self.actor.parameters() if all(x is not y for y in slow)]
        fast = {"params": slow, "lr": args.time_constant_speed * args.learning_rate}
        self.optimizer = torch.optim.Adam([{"params": others}, fast], lr=args.learning_rate)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, args.rounds * args.updates
        )

    def update(self, batch: tuple[Tensor, Tensor, Tensor], slope: float) -> list[float]:
        """Take one gradient step; return the loss and the mean spike rate of each layer."""
        observations, labels, weights = batch
        args, policy = self.args, self.actor
        states = policy.initial_states(observations.shape[1])
        actions, _, spikes = policy(observations, states, slope)
        errors = torch.nn.functional.huber_loss(actions, labels, delta=args.huber, reduction="none")
        loss = (weights * errors).sum() / (4.0 * weights.sum())
        self.optimizer.zero_grad()
        (loss + args.sparsity * sparsity_loss(spikes, args.target_rate)).backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return [loss.item(), *(x.detach().mean().item() for x in spikes)]


class Dataset:
    """The episodes of all rounds, and how well the student flew in each of its own."""

    def __init__(self, args: Args) -> None:
        """Begin without any."""
        self.args, self.rounds, self.scores = args, list[Demonstrations](), SlopeState()
        self.sequences = None  # those of all rounds, cut

    def add(self, episodes: Demonstrations) -> None:
        """Add the episodes of a round; the first round is the guide's."""
        if self.rounds:
            self.scores = record_score(self.scores, flight_score(episodes))
        self._cut(episodes)

    def sample(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a batch from the sequences of all rounds.

        Raises:
            ValueError: There is no round yet.
        """
        if self.sequences is None:
            raise ValueError("no round has been flown yet")
        return sample_demonstrations(self.sequences, self.args.batch, rng)

    def snapshot(self) -> dict[str, Any]:
        """Return what all rounds brought."""
        rounds = {str(number): part._asdict() for number, part in enumerate(self.rounds)}
        return {"rounds": rounds, "scores": list(self.scores.scores)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on after the rounds of a snapshot."""
        for part in snapshot["rounds"].values():
            self._cut(Demonstrations(**part))
        self.scores = SlopeState(tuple(snapshot["scores"]))

    def _cut(self, episodes: Demonstrations) -> None:
        cut = cut_demonstrations(episodes, ticks=self.args.sequence, warm_up=self.args.warm_up)
        self.sequences = cut if self.sequences is None else join_segments([self.sequences, cut])
        self.rounds.append(episodes)


class CloningTraining(Training[CloningLearner]):
    """Alternates between collecting episodes and cloning the guide's actions on all of them."""

    script = "bc"
    panels = PANELS
    keeps_best = False  # the last round has seen the most

    def __init__(self, args: Args) -> None:
        """Begin a run.

        Raises:
            UserError: There is no such airframe or start.
        """
        self.args, self.quadrotor, self.slope = args, load_quadrotor(args.airframe), 1.0
        rate = args.network.control_rate
        physics_rate = rate * max(1, round(500.0 / rate))
        self.drones = [
            Drone(self.quadrotor, control_rate=rate, physics_rate=physics_rate, ground=False)
            for _ in range(args.drones)
        ]
        self.dataset, self.began = Dataset(args), 0.0
        self.flown: Row = {}  # what the roll-outs of this round came to
        rng = np.random.default_rng(args.seed)
        super().__init__(CloningLearner(args), rng, {"collector": self.dataset})

    def begin(self, progress: float) -> None:
        """Collect the episodes of a round and choose the surrogate slope."""
        self.began, number = time.monotonic(), len(self.rows)
        episodes = self.collect(guide_flies=number == 0)
        self.flown = flight_figures(episodes)
        self.dataset.add(episodes)
        share = number / max(self.args.rounds - 1, 1)
        self.slope = slope_at(self.args.slope, share, self.dataset.scores)

    def collect(self, *, guide_flies: bool) -> Demonstrations:
        """Fly the episodes of a round, by the guide or by the student."""
        args, policy = self.args, self.learner.actor
        parts = [
            demonstrate(
                self.drones,
                None if guide_flies else NetworkActor(policy, len(self.drones)),
                config=args.episodes,
                gains=args.guide,
                noise=args.guide_noise if guide_flies else args.student_noise,
                rng=self.rng,
            )
            for _ in range(args.flights)
        ]
        return Demonstrations(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def step(self, progress: float) -> list[float]:
        """Take one gradient step."""
        return self.learner.update(self.dataset.sample(self.rng), self.slope)

    def summary(self, losses: Sequence[Sequence[float]]) -> Row:
        """Return the log's row, with the validation; `seconds` counts from the run's beginning."""
        args, policy, number = self.args, self.learner.actor, len(self.rows) + 1
        rates = [round(x, 4) for x in losses[-1][1:]]
        self.notes[SPIKES] = {"rate_per_tick": dict(zip(policy.layer_names, rates, strict=True))}
        before = self.rows[-1]["seconds"] if self.rows else 0.0
        return {
            "round": number - 1,
            "transitions": number * args.drones * args.flights * args.episodes.ticks,
            "updates": number * args.updates,
            "loss": float(f"{np.mean([x[0] for x in losses]):.3g}"),
            **self.flown,
            **{f"spike_rate_{x}": rate for x, rate in zip(policy.layer_names, rates, strict=True)},
            **validate_network(policy, self.quadrotor, seed=args.seed),
            "slope": round(self.slope, 2),
            "seconds": round(before + time.monotonic() - self.began, 1),
        }

    def export(self, path: Path, provenance: dict[str, Any]) -> None:
        """Write the policy as it is."""
        story = {key: value for key, value in provenance.items() if key != SPIKES}
        info = ArtifactInfo(
            self.args.airframe, provenance=story, spike_statistics=provenance.get(SPIKES, {})
        )
        export_policy(self.learner.actor, path, info)

    def close(self) -> None:
        """Let go of the simulators."""
        for drone in self.drones:
            drone.close()


def main(args: Args) -> bool:
    """Train as the arguments say; return whether the run is whole."""
    args = with_budget(args, STUDY)
    check(args)
    return run_training(
        args, lambda: CloningTraining(args), iterations=args.rounds, steps=args.updates
    )


def flight_figures(episodes: Demonstrations) -> Row:
    """Return how near to their references the survivors ended, and the share that was lost."""
    survivors = episodes.lengths == episodes.errors.shape[1]
    steady = episodes.errors[survivors, -STEADY_TICKS:]
    return {
        "steady_error": float(f"{np.median(steady):.3g}") if steady.size else "",
        "lost": float(f"{1.0 - survivors.mean():.3g}"),
    }


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    check_bounds(args)
    # what the student flew is not among what it learns from
    feedback = not args.network.action_feedback, "off in bc.py; jsrl.py and td3bc.py have it"
    require(
        {
            "warm-up": (args.warm_up < args.sequence, "0 or more and shorter than --sequence"),
            "sequence": (args.sequence <= args.episodes.ticks, "1 to --episodes.ticks"),
            "network.action-feedback": feedback,
        }
    )
