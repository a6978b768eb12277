"""TD3: trains the guide that jump starts the spiking policy, on either simulator.

The guide is a small perceptron that sees the observation and its own last 32 actions. Twin critics,
a smoothed target policy, a delayed actor; the reward tightens as in the paper's curriculum.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_controller.vehicle import load_quadrotor
from snn_sim.batched import DroneBatch
from snn_sim.bullet import LARGEST_BATCH
from snn_sim.envs import Simulator, make_drones
from snn_sim.task import (
    END_COEFFICIENTS,
    HISTORY_STEPS,
    START_COEFFICIENTS,
    RewardCoefficients,
)
from snn_training.algorithms.runner import (
    Kept,
    RunOptions,
    Training,
    rounded,
    run_training,
    slope_of,
)
from snn_training.artifacts import ArtifactInfo, export_guide
from snn_training.common import (
    Budget,
    bounded,
    check_bounds,
    layers,
    plain_name,
    require,
    some,
    with_budget,
    with_simulator,
)
from snn_training.data import Batch, Replay
from snn_training.evaluation import ReportingConfig
from snn_training.networks import ActorKind, TwinCritic, make_actor
from snn_training.neurons import SlopeConfig
from snn_training.rollouts import VALIDATION_SEED, Collector, HistoryActor, validate
from snn_training.runs import Row

STUDY = {"intervals": 20}  # what --budget study changes
# What --sim pybullet changes: fewer drones fly longer, for as many transitions and updates.
PYBULLET = {"drones": 64, "ticks": 400, "updates": 5}
PANELS = {
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "steady_xy_m": "position error [m]",
    "critic_loss": "critic loss",
}
ROUNDING = 1e-9  # progress comes as a quotient; a step must not be missed by its last digit


@dataclass(frozen=True)
class Curriculum:
    """When the reward moves from the start to the end coefficients."""

    steps: int = bounded(6, 0, 1000)
    """Steps of equal size; 0 trains with the end coefficients from the beginning."""
    until: float = bounded(0.3, above=0, at_most=1)
    """Share of the training at which the last step is taken."""


def coefficients_at(
    curriculum: Curriculum,
    progress: float,
    *,
    start: RewardCoefficients = START_COEFFICIENTS,
    end: RewardCoefficients = END_COEFFICIENTS,
) -> RewardCoefficients:
    """Return the coefficients in force at a progress of training in [0, 1]."""
    if curriculum.steps == 0:
        return end
    taken = floor(progress / curriculum.until * curriculum.steps + ROUNDING)
    return start.towards(end, min(max(taken, 0), curriculum.steps) / curriculum.steps)


@dataclass(frozen=True)
class TD3Config:
    """Networks and step sizes of TD3."""

    actor: ActorKind = "perceptron"
    """Kind of the actor: `perceptron`, or `spiking`, which has some steps for each answer and
    remembers nothing, as in the published slope study."""
    actor_steps: int = bounded(4, 1, 100)
    """Steps of a spiking actor for an answer."""
    actor_hidden: tuple[int, ...] = layers((64, 64))
    """Neurons of the actor's hidden layers."""
    critic_hidden: tuple[int, ...] = layers((64, 64))
    """Neurons of each critic's hidden layers."""
    actor_rate: float = bounded(1e-3, above=0, at_most=1)
    """Adam's step size of the actor."""
    critic_rate: float = bounded(1e-3, above=0, at_most=1)
    """Adam's step size of the critics."""
    last_rate: float = bounded(0.05, 0, 1)
    """Share of both step sizes that is left at the end of the run; they fall linearly."""
    gamma: float = bounded(0.99, 0, below=1)
    """Discount of the next tick's value."""
    tau: float = bounded(0.01, above=0, at_most=1)
    """Share of the way that the targets follow the networks in an actor step."""
    policy_noise: float = bounded(0.2, 0, 2)
    """Noise on the target policy's actions (standard deviation)."""
    noise_clip: float = bounded(0.5, 0, 2)
    """Largest such noise."""
    delay: int = bounded(2, 1, 1000)
    """Critic steps to each actor step."""


class TD3Learner(Kept):
    """The networks of TD3, their targets and optimisers; `update` takes one gradient step."""

    kept = (
        "actor",
        "critic",
        "target_actor",
        "target_critic",
        "actor_optimizer",
        "critic_optimizer",
        "generator",
        "updates",
    )

    def __init__(self, config: TD3Config, *, seed: int) -> None:
        """Make networks, targets and optimisers; the seed fixes weights and noise."""
        self.config, self.updates = config, 0
        self.generator = torch.Generator().manual_seed(seed)
        self.actor = make_actor(
            config.actor, config.actor_hidden, config.actor_steps, self.generator
        )
        self.critic = TwinCritic(config.critic_hidden, self.generator)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        # fused: one call a step for all parameters
        self.actor_optimizer = torch.optim.Adam(
            self.actor.parameters(), lr=config.actor_rate, fused=True
        )
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), lr=config.critic_rate, fused=True
        )

    def update(self, batch: Batch) -> tuple[float, float]:
        """Take one gradient step on a batch, which stays as it is.

        Returns:
            The critics' loss and the mean value of the batch's actions.
        """
        inputs, actions = torch.from_numpy(batch.inputs), torch.from_numpy(batch.actions)
        target = self.target_values(batch)
        first, second = self.critic(inputs, actions)
        loss = (first - target).square().mean() + (second - target).square().mean()
        descend(self.critic_optimizer, loss)
        self.updates += 1
        if self.updates % self.config.delay == 0:
            descend(self.actor_optimizer, self.actor_loss(inputs))
            follow(self.target_actor, self.actor, self.config.tau)
            follow(self.target_critic, self.critic, self.config.tau)
        return loss.item(), first.detach().mean().item()

    def set_progress(self, progress: float) -> None:
        """Set the step sizes of a progress of training in [0, 1]."""
        share = 1.0 - (1.0 - self.config.last_rate) * progress
        self.actor_optimizer.param_groups[0]["lr"] = share * self.config.actor_rate
        self.critic_optimizer.param_groups[0]["lr"] = share * self.config.critic_rate

    def actor_loss(self, inputs: Tensor) -> Tensor:
        """Return minus the value that the first critic sees in the actor's own actions."""
        return -self.critic.first_value(inputs, self.actor(inputs)).mean()

    @torch.no_grad()
    def target_values(self, batch: Batch) -> Tensor:
        """Return what the critics should say (n,): reward, then the lower of the target values."""
        following = torch.from_numpy(batch.next_inputs)
        actions = self.smoothed_actions(following)
        value = torch.minimum(*self.target_critic(following, actions))
        rewards, terminated = torch.from_numpy(batch.rewards), torch.from_numpy(batch.terminated)
        return target_of(rewards, terminated, value, self.config.gamma)

    @torch.no_grad()
    def smoothed_actions(self, inputs: Tensor) -> Tensor:
        """Return the target policy's actions (n, 4) with clipped noise, in [-1, 1]."""
        actions = self.target_actor(inputs)
        config = self.config
        noise = clipped_noise(actions.shape, config.policy_noise, config.noise_clip, self.generator)
        return (actions + noise).clamp(-1.0, 1.0)


@torch.no_grad()
def follow(target: nn.Module, network: nn.Module, tau: float) -> None:
    """Move a target network a share `tau` of the way to its network."""
    for old, new in zip(target.parameters(), network.parameters(), strict=True):
        old.lerp_(new, tau)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, *, limit: float | None = None) -> None:
    """Take one step down a loss, with the gradient's norm limited where a limit is given."""
    optimizer.zero_grad()
    loss.backward()
    if limit is not None:
        parameters = [x for group in optimizer.param_groups for x in group["params"]]
        nn.utils.clip_grad_norm_(parameters, limit)
    optimizer.step()


def clipped_noise(
    shape: torch.Size, deviation: float, limit: float, generator: torch.Generator
) -> Tensor:
    """Return normal noise, clipped, that smooths the target policy's actions."""
    return (torch.randn(shape, generator=generator) * deviation).clamp(-limit, limit)


def target_of(rewards: Tensor, terminated: Tensor, value: Tensor, gamma: float | Tensor) -> Tensor:
    """Return what the critics should say (n,), given the value of what follows.

    Only a crash ends the future. A flight cut by the clock would have gone on, so its last state
    counts like any other.
    """
    return rewards + gamma * (1.0 - terminated.float()) * value


@dataclass
class Args(RunOptions):
    """Train the guide by TD3."""

    name: str = plain_name("td3")
    """Name of the run; its folder is runs/NAME."""
    airframe: str = "crazyflie21"
    """Airframe to fly."""
    sim: Simulator = "batched"
    """Simulator to learn in: the batched twin, or PyBullet, slower and with 64 drones at most.
    Each interval is validated on the twin, so that the figures can be compared."""
    budget: Budget = "full"
    """`study` cuts the run to less than five minutes on one core, where options are defaults."""
    intervals: int = bounded(40, 1, 100_000)
    """Parts of the run; each ends with a validation and a checkpoint."""
    ticks: int = bounded(100, 1, 100_000)
    """Control ticks that every drone flies in an interval."""
    drones: int = bounded(256, 1, 65_536)
    """Drones that fly side by side."""
    updates: int = bounded(20, 1, 10_000)
    """Gradient steps after each tick."""
    batch: int = bounded(256, 1, 1_000_000)
    """Transitions a gradient step."""
    replay: int = bounded(500_000, 1, 20_000_000)
    """Transitions that are kept."""
    starts: tuple[str, ...] = some(("standard", "hard", "hover"), "distributions")
    """Where episodes begin, drawn with equal chance; distributions of sim/starts.py."""
    blank_share: float = bounded(0.5, 0, 1)
    """Share of episodes whose action history begins with zeros, as it does in flight."""
    first_exploration: float = bounded(0.5, 0, 2)
    """Noise on the actions flown at the beginning (standard deviation)."""
    last_exploration: float = bounded(0.1, 0, 2)
    """Noise on the actions flown from half of the run on; between, it falls linearly."""
    validation: int = bounded(200, 1, 65_536)
    """Episodes of the standard cell that validate an interval."""
    threads: int = bounded(1, 1, 64)
    """Threads of PyTorch; results are reproducible for the same number only."""
    curriculum: Curriculum = field(default_factory=Curriculum)
    """How the reward tightens."""
    learner: TD3Config = field(default_factory=TD3Config)
    """Networks and step sizes."""
    slope: SlopeConfig = field(default_factory=SlopeConfig)
    """Slope of a spiking actor's surrogate gradient; the adaptive one follows the validation."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """Logs, pictures and the scores at the end."""


class TD3Training(Training[TD3Learner]):
    """Flies one tick with every drone and takes gradient steps, again and again."""

    script = "td3"
    unit = "tick"
    panels = PANELS

    def __init__(self, args: Args) -> None:
        """Begin a run.

        Raises:
            UserError: There is no such airframe or start.
        """
        rng = np.random.default_rng(args.seed)
        self.args, self.quadrotor = args, load_quadrotor(args.airframe)
        self.replay = Replay(args.drones, args.replay)
        self.drones = make_drones(
            args.sim, self.quadrotor, args.drones, starts=args.starts, seed=args.seed
        )
        learner = TD3Learner(args.learner, seed=args.seed)
        self.collector = Collector(self.drones, blank_share=args.blank_share, rng=rng)
        super().__init__(learner, rng, {"replay": self.replay, "collector": self.collector})

    def begin(self, progress: float) -> None:
        """Set the slope of a spiking actor."""
        self.learner.actor.slope = slope_of(self, self.args.slope, progress)

    def step(self, progress: float) -> tuple[float, float]:
        """Fly one tick with every drone, take the gradient steps, return loss and value.

        Each transition is paid by the coefficients of now, however old it is.
        """
        args, learner = self.args, self.learner
        deviation = exploration_at(args, progress)
        actions = HistoryActor(learner.actor).act(self.collector)
        actions = explore(actions, deviation, self.rng)
        self.replay.add(self.collector.step(actions))
        coefficients = coefficients_at(args.curriculum, progress)
        learner.set_progress(progress)
        results = [
            learner.update(self.replay.sample(args.batch, coefficients, self.rng))
            for _ in range(args.updates)
        ]
        loss, value = np.mean(results, axis=0)
        return float(loss), float(value)

    def summary(self, losses: Sequence[Sequence[float]]) -> Row:
        """Return the log's row; the guide flies validation starts, always the same ones."""
        args, learner, interval = self.args, self.learner, len(self.rows) + 1
        loss, value = np.mean(losses, axis=0)
        drones = DroneBatch(
            self.quadrotor,
            args.validation,
            starts=("standard",),
            seed=VALIDATION_SEED + args.seed,
        )
        return {
            "interval": interval,
            "transitions": interval * args.ticks * args.drones,
            "updates": learner.updates,
            "critic_loss": float(f"{loss:.4g}"),
            "value": float(f"{value:.4g}"),
            "slope": round(learner.actor.slope, 2),
            **rounded(validate(drones, HistoryActor(learner.actor))),
        }

    def export(self, path: Path, provenance: dict[str, Any]) -> None:
        """Write the guide as it is."""
        info = ArtifactInfo(self.args.airframe, provenance=provenance)
        export_guide(self.learner.actor, path, info)

    def close(self) -> None:
        """Let go of the simulator."""
        self.drones.close()


def main(args: Args) -> bool:
    """Train as the arguments say; return whether the run is whole."""
    args = with_simulator(with_budget(args, STUDY), PYBULLET)
    check(args)
    return run_training(
        args, lambda: TD3Training(args), iterations=args.intervals, steps=args.ticks
    )


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


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    check_bounds(args)
    least = (HISTORY_STEPS + 1) * args.drones
    largest = LARGEST_BATCH if args.sim == "pybullet" else args.drones
    require(
        {
            "drones": (args.drones <= largest, f"1 to {largest} with --sim {args.sim}"),
            "replay": (args.replay >= least, f"{least} (33 ticks of every drone) to 20000000"),
        }
    )
