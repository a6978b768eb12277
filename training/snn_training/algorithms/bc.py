"""Behavioural cloning: the spiking policy learns to do what the guide does.

    python training/bc.py --name my-run

Round 0 clones the guide's own flights, disturbed so that it has to recover. In every later round
the student flies, the guide labels what it would have done, and the data joins all earlier (dataset
aggregation, DAgger). With `--rounds 1` small errors add up to states that the guide never visits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snn_controller.control import GuideGains
from snn_controller.vehicle import load_quadrotor
from snn_sim.bullet import Drone
from snn_sim.task import EpisodeConfig
from snn_training.artifacts import ArtifactInfo, export_policy
from snn_training.common import Budget, Rules, require, with_budget
from snn_training.data import Episodes, cut_sequences, join, sample_batch
from snn_training.evaluation import Reporter, ReportingConfig, reporting_rules
from snn_training.networks import Network, NetworkConfig, make_network, network_rules
from snn_training.neurons import (
    SlopeConfig,
    SlopeState,
    record_score,
    slope_at,
    slope_rules,
    sparsity_loss,
    sparsity_rules,
)
from snn_training.rollouts import (
    TEACHER_GAINS,
    flight_score,
    fly_episodes,
    network_pilot,
    validate_network,
)
from snn_training.runs import POLICY, append_log, create_run, plot_log, save_checkpoint

PANELS = {"loss": "loss", "steady_error": "position error [m]", "lost": "lost episodes"}
STEADY_TICKS = 50  # ticks at the end of a roll-out whose position error is reported
STUDY = {"flights": 4, "updates": 125}  # what --budget study changes


@dataclass
class Args:
    """Clone the guide into a spiking policy."""

    name: str = "bc"
    """Name of the run; its folder is runs/NAME."""
    folder: Path = Path("runs")
    """Where run folders go."""
    seed: int = 0
    """Seed of all randomness; the same seed gives the same policy, bit by bit."""
    airframe: str = "crazyflie21"
    """Airframe to fly."""
    budget: Budget = "full"
    """`study` cuts the run to less than five minutes on one core, where options are defaults."""
    rounds: int = 12
    """Rounds of data collection and training; the guide flies the first, the student the others."""
    drones: int = 32
    """Drones that fly side by side; each world takes about 32 MB of memory."""
    flights: int = 8
    """Episodes that each drone flies in a round."""
    updates: int = 500
    """Gradient steps a round."""
    batch: int = 64
    """Sequences a gradient step."""
    sequence: int = 100
    """Ticks of a sequence."""
    warm_up: int = 50
    """Ticks that fill the neuron states of a sequence cut out of mid-flight."""
    learning_rate: float = 5e-3
    """Adam's step size at the start; it falls to zero along a cosine."""
    time_constant_speed: float = 10.0
    """How many times larger the step of the time constants is; they are learnt as logarithms."""
    huber: float = 0.05
    """Error of an action up to which the loss is quadratic; beyond, it is linear."""
    sparsity: float = 0.0
    """Weight of what spiking layers fire beyond the target rate; about 0.3 makes them sparse."""
    target_rate: float = 0.1
    """Share of a layer's neurons that may spike in a tick without cost."""
    guide_noise: float = 0.3
    """Disturbance of the guide's actions in round 0 (standard deviation)."""
    student_noise: float = 0.1
    """Disturbance of the student's actions in later rounds (standard deviation)."""
    threads: int = 1
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


def main(args: Args) -> None:
    """Train as the arguments say; Ctrl-C keeps what has been learnt so far."""
    args = with_budget(args, STUDY)
    check(args)
    folder = args.folder / args.name
    provenance = create_run(
        folder, json.loads(json.dumps(asdict(args), default=str)), seed=args.seed
    )
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    policy = make_network(args.network, generator=torch.Generator().manual_seed(args.seed))
    quadrotor = load_quadrotor(args.airframe)
    rate = args.network.control_rate
    physics_rate = rate * max(1, round(500.0 / rate))
    drones = [
        Drone(quadrotor, control_rate=rate, physics_rate=physics_rate, ground=False)
        for _ in range(args.drones)
    ]
    with Reporter(folder, args.reporting) as reporter:
        try:
            train(args, policy, drones, rng, folder, provenance, reporter)
            whole = True
        except KeyboardInterrupt:
            tqdm.write("stopped early; the run keeps what has been learnt so far")
            whole = False
        finally:
            for drone in drones:
                drone.close()
        save(folder, policy, provenance, args.airframe)
        tqdm.write(f"wrote {folder / POLICY}")
        if whole:
            reporter.finish()


def train(
    args: Args,
    policy: Network,
    drones: Sequence[Drone],
    rng: np.random.Generator,
    folder: Path,
    provenance: dict[str, Any],
    reporter: Reporter,
) -> None:
    """Alternate between collecting episodes and cloning the guide's actions on all of them."""
    total = args.rounds * args.updates
    optimizer = make_optimizer(args, policy)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    parts, scores, began = [], SlopeState(), time.monotonic()
    with tqdm(total=total, desc="cloning", unit="update") as progress:
        for number in range(args.rounds):
            episodes = collect(args, policy, drones, rng, guide_flies=number == 0)
            parts.append(cut_sequences(episodes, ticks=args.sequence, warm_up=args.warm_up))
            data = join(parts)
            if number > 0:  # the first flights are the guide's
                scores = record_score(scores, flight_score(episodes))
            slope = slope_at(args.slope, number / max(args.rounds - 1, 1), scores)
            losses, rates = [], torch.zeros(len(policy.layer_names))
            for _ in range(args.updates):
                batch = sample_batch(data, args.batch, rng)
                loss, rates = update(args, policy, optimizer, batch, slope=slope)
                schedule.step()
                losses.append(loss)
                progress.update()
            row = summary(number, args, episodes, losses, rates)
            row |= validate_network(policy, drones[0].quadrotor, seed=args.seed)
            elapsed = round(time.monotonic() - began, 1)
            append_log(folder, {**row, "slope": round(slope, 2), "seconds": elapsed})
            progress.set_postfix(loss=row["loss"], error_m=row["steady_error"], lost=row["lost"])
            provenance["spike_statistics"] = _spike_statistics(policy, rates)
            save(folder, policy, provenance, args.airframe)
            plot_log(folder, PANELS, x="round")
            reporter.interval(row, number + 1)


def make_optimizer(args: Args, policy: Network) -> torch.optim.Optimizer:
    """Return Adam with a larger step for the membrane time constants."""
    slow = policy.time_constants()
    others = [x for x in policy.parameters() if all(x is not y for y in slow)]
    fast = {"params": slow, "lr": args.time_constant_speed * args.learning_rate}
    return torch.optim.Adam([{"params": others}, fast], lr=args.learning_rate)


def collect(
    args: Args,
    policy: Network,
    drones: Sequence[Drone],
    rng: np.random.Generator,
    *,
    guide_flies: bool,
) -> Episodes:
    """Fly the episodes of a round, by the guide or by the student."""
    parts = [
        fly_episodes(
            drones,
            None if guide_flies else network_pilot(policy, len(drones)),
            config=args.episodes,
            gains=args.guide,
            noise=args.guide_noise if guide_flies else args.student_noise,
            rng=rng,
        )
        for _ in range(args.flights)
    ]
    return Episodes(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def update(
    args: Args,
    policy: Network,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor, Tensor],
    *,
    slope: float,
) -> tuple[float, Tensor]:
    """Take one gradient step; return the loss and the mean spike rate of each layer."""
    observations, labels, weights = batch
    states = policy.initial_states(observations.shape[1])
    actions, _, spikes = policy(observations, states, slope)
    errors = torch.nn.functional.huber_loss(actions, labels, delta=args.huber, reduction="none")
    loss = (weights * errors).sum() / (4.0 * weights.sum())
    optimizer.zero_grad()
    (loss + args.sparsity * sparsity_loss(spikes, args.target_rate)).backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item(), torch.tensor([x.detach().mean().item() for x in spikes])


def summary(
    number: int, args: Args, episodes: Episodes, losses: list[float], rates: Tensor
) -> dict[str, Any]:
    """Return the log's row of a round; the flight figures are those of its roll-outs."""
    survivors = episodes.lengths == args.episodes.ticks
    steady = episodes.errors[survivors, -STEADY_TICKS:]
    return {
        "round": number,
        "transitions": (number + 1) * args.drones * args.flights * args.episodes.ticks,
        "updates": (number + 1) * args.updates,
        "loss": float(f"{np.mean(losses):.3g}"),
        "steady_error": float(f"{np.median(steady):.3g}") if steady.size else "",
        "lost": float(f"{1.0 - survivors.mean():.3g}"),
        **{f"spike_rate_lif{i + 1}": round(float(x), 4) for i, x in enumerate(rates)},
    }


def save(folder: Path, policy: Network, provenance: dict[str, Any], airframe: str) -> None:
    """Save the checkpoint and the artifact of the policy as it is now."""
    save_checkpoint(folder, policy, provenance)
    story = {key: value for key, value in provenance.items() if key != "spike_statistics"}
    statistics = provenance.get("spike_statistics", {})
    info = ArtifactInfo(airframe, provenance=story, spike_statistics=statistics)
    export_policy(policy, folder / POLICY, info)


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    # what the student flew is not among what it learns from
    feedback = (not args.network.action_feedback, "off in bc.py; jsrl.py and td3bc.py have it")
    rules = {**_training_rules(args), **reporting_rules(args.reporting)}
    rules["network.action-feedback"] = feedback
    require({**rules, **network_rules(args.network), **slope_rules(args.slope)})


def _training_rules(args: Args) -> Rules:
    return {
        **sparsity_rules(args.sparsity, args.target_rate),
        "rounds": (args.rounds >= 1, "at least 1"),
        "drones": (1 <= args.drones <= 512, "1 to 512"),
        "flights": (args.flights >= 1, "at least 1"),
        "updates": (args.updates >= 1, "at least 1"),
        "batch": (args.batch >= 1, "at least 1"),
        "warm-up": (0 <= args.warm_up < args.sequence, "0 or more and shorter than --sequence"),
        "sequence": (1 <= args.sequence <= args.episodes.ticks, "1 to --episodes.ticks"),
        "learning-rate": (0.0 < args.learning_rate <= 1.0, "above 0 and at most 1"),
        "time-constant-speed": (0.0 <= args.time_constant_speed <= 100.0, "0 to 100"),
        "huber": (args.huber > 0.0, "above 0"),
        "guide-noise": (0.0 <= args.guide_noise <= 2.0, "0 to 2"),
        "student-noise": (0.0 <= args.student_noise <= 2.0, "0 to 2"),
        "threads": (1 <= args.threads <= 64, "1 to 64"),
        "seed": (args.seed >= 0, "0 or more"),
        "name": (args.name not in ("", ".", "..") and "/" not in args.name, "a plain name"),
    }


def _spike_statistics(policy: Network, rates: Tensor) -> dict[str, Any]:
    rounded = (round(float(x), 4) for x in rates)
    return {"rate_per_tick": dict(zip(policy.layer_names, rounded, strict=True))}
