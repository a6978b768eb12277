"""Implicit Q-learning on recorded episodes, for a policy with a state; or cloning, or fine-tuning.

Source: Kostrikov, Nair and Levine, "Offline Reinforcement Learning with Implicit Q-Learning",
ICLR 2022. V learns an upper expectile of Q over the actions in the data, Q learns from rewards and
V alone, and the policy clones actions weighted by exp(beta (Q - V)). No action that is not in the
data is ever asked about. As published, rewards are scaled so that returns span 1000.

Values are kept at about one inside the networks: rewards are multiplied by 1 - gamma, and
advantages divided by it again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_controller.vehicle import load_quadrotor
from snn_sim.task import GUIDE_INPUT_SIZE
from snn_training.algorithms.runner import (
    Kept,
    RunOptions,
    Training,
    run_training,
    slope_of,
)
from snn_training.algorithms.td3 import descend, follow
from snn_training.algorithms.td3bc.training import SMOOTH_NETWORK
from snn_training.artifacts import ArtifactInfo, export_policy, load_network
from snn_training.common import Rules, bounded, check_bounds, layers, plain_name
from snn_training.data import (
    EpisodeSet,
    Numbers,
    Segments,
    all_steps,
    check_episodes,
    critic_inputs,
    load_episodes,
    returns_to_go,
    sample_episodes,
    split_by_episode,
    transitions_at,
)
from snn_training.evaluation import ReportingConfig
from snn_training.networks import (
    INPUT_SCALE,
    Network,
    NetworkConfig,
    TwinCritic,
    make_layers,
    make_network,
    unroll,
)
from snn_training.neurons import SlopeConfig
from snn_training.rollouts import validate_network
from snn_training.runs import Row

PUBLISHED_SPAN = 1000.0  # of the returns, to which beta belongs
GRADIENT_LIMIT = 1.0  # norm of the actor's gradient
PANELS = {
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "held_out_loss": "held-out loss",
    "critic_loss": "critic loss",
}


@dataclass(frozen=True)
class IQLConfig:
    """Critics, windows and step sizes of implicit Q-learning."""

    expectile: float = bounded(0.7, above=0, below=1)
    """What V is of Q: 0.5 is the mean over the data's actions, nearer to 1 the best of them."""
    beta: float = bounded(3.0, 0, 1000)
    """How sharply the policy prefers better actions; 0 clones all of them and needs no critics."""
    largest_weight: float = bounded(100.0, 1, 1e6)
    """Largest weight of a tick, exp(beta advantage), in the cloning."""
    critic_hidden: tuple[int, ...] = layers((128, 128))
    """Neurons of each hidden layer of both critics and of V."""
    actor_rate: float = bounded(3e-3, above=0, at_most=1)
    """Adam's step size of the policy at the start; it falls linearly to zero."""
    critic_rate: float = bounded(1e-3, above=0, at_most=1)
    """Adam's step size of critics and V."""
    time_constant_speed: float = bounded(10.0, 0, 100)
    """How many times larger the step of the time constants is; they are learnt as logarithms."""
    gamma: float = bounded(0.99, 0, below=1)
    """Discount of the next tick's value."""
    tau: float = bounded(0.005, above=0, at_most=1)
    """Share of the way that the target critics follow in a step."""
    critic_batch: int = bounded(512, 1, 1_000_000)
    """Transitions of a critic step."""
    critic_steps: int = bounded(2, 1, 1000)
    """Critic steps to each step of the policy."""
    batch: int = bounded(64, 1, 100_000)
    """Windows of a step of the policy."""
    sequence: int = bounded(100, 2, 10_000)
    """Ticks of a window."""
    warm_up: int = bounded(50, 0)
    """Ticks that fill the state of a window that begins in mid-flight."""
    start_share: float = bounded(0.6, 0, 1)
    """Share of windows that begin with an episode, from zero states as in flight."""

    def relations(self) -> Rules:
        """Return what ties the options together."""
        shorter = self.warm_up < self.sequence
        return {"warm-up": (shorter, "0 or more and shorter than --learner.sequence")}


class Losses(NamedTuple):
    """What an update measured."""

    critic: float
    value: float
    actor: float
    weight: float  # mean of the ticks' weights


class IQLLearner(Kept):
    """Policy, critics, V and their optimisers; `update` takes one gradient step."""

    kept = (
        "actor",
        "critic",
        "target_critic",
        "value",
        "actor_optimizer",
        "critic_optimizer",
        "updates",
    )

    def __init__(
        self, config: IQLConfig, actor: Network, episodes: EpisodeSet, *, seed: int
    ) -> None:
        """Take the policy and the data; the seed fixes the critics' weights."""
        self.config, self.actor, self.episodes = config, actor, episodes
        self.steps, self.updates = all_steps(episodes), 0
        span = float(np.ptp(episodes.returns)) or 1.0
        self.sharpness = config.beta * PUBLISHED_SPAN / span / (1.0 - config.gamma)
        generator = torch.Generator().manual_seed(seed)
        self.critic = TwinCritic(config.critic_hidden, generator)
        self.value = _Value(config.critic_hidden, generator)
        level = mean_value(episodes, config.gamma)  # learning it from nothing takes very long
        self.critic.expect(level)
        self.value.expect(level)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        times = actor.time_constants()
        others = [x for x in actor.parameters() if all(x is not y for y in times)]
        groups = [{"params": others}, {"params": times}] if times else [{"params": others}]
        self.actor_optimizer = torch.optim.Adam(groups, lr=config.actor_rate, fused=True)
        parameters = [*self.critic.parameters(), *self.value.parameters()]
        self.critic_optimizer = torch.optim.Adam(parameters, lr=config.critic_rate, fused=True)

    def update(self, slope: float, rng: np.random.Generator) -> Losses:
        """Take a step of the policy, after those of the critics."""
        critic, value = 0.0, 0.0
        if self.config.beta > 0.0:
            for _ in range(self.config.critic_steps):
                critic, value = self.update_critics(rng)
        windows = self._sample(self.episodes, self.steps, rng)
        weights = self.weights(self.episodes, windows)
        loss = cloning_loss(self._act(windows, slope), windows, weights)
        descend(self.actor_optimizer, loss, limit=GRADIENT_LIMIT)
        self.updates += 1
        counted = torch.from_numpy(windows.counted)
        return Losses(critic, value, loss.item(), weights[counted].mean().item())

    def update_critics(self, rng: np.random.Generator) -> tuple[float, float]:
        """Take one step of the critics and V; return the critics' loss and the mean value."""
        config = self.config
        chosen = rng.integers(len(self.steps[0]), size=config.critic_batch)
        batch = transitions_at(self.episodes, self.steps[0][chosen], self.steps[1][chosen])
        inputs, actions, rewards, following = map(torch.from_numpy, batch[:4])
        value = self.value(inputs)
        with torch.no_grad():
            judged = torch.minimum(*self.target_critic(inputs, actions))
            goes_on = 1.0 - torch.from_numpy(batch.terminated).float()
            target = (1.0 - config.gamma) * rewards
            target += config.gamma * goes_on * self.value(following)
        first, second = self.critic(inputs, actions)
        errors = (first - target).square().mean() + (second - target).square().mean()
        loss = errors + expectile_loss(judged - value, config.expectile)
        descend(self.critic_optimizer, loss)
        follow(self.target_critic, self.critic, config.tau)
        return errors.item(), value.detach().mean().item()

    @torch.no_grad()
    def weights(self, episodes: EpisodeSet, windows: Segments) -> Tensor:
        """Return what each tick (ticks, n) counts in the cloning."""
        counted, weights = windows.counted, torch.ones(windows.counted.shape)
        if self.config.beta == 0.0:
            return weights
        numbers, steps = windows.flights[counted], windows.steps[counted]
        inputs = torch.from_numpy(critic_inputs(episodes, numbers, steps))
        actions = torch.from_numpy(windows.labels[counted])
        advantage = torch.minimum(*self.target_critic(inputs, actions)) - self.value(inputs)
        weights[torch.from_numpy(counted)] = torch.exp(self.sharpness * advantage).clamp(
            max=self.config.largest_weight
        )
        return weights

    @torch.no_grad()
    def held_out_loss(self, episodes: EpisodeSet, rng: np.random.Generator) -> float:
        """Return the mean squared distance from actions of episodes that nothing learns from."""
        windows = self._sample(episodes, all_steps(episodes), rng)
        actions = self._act(windows, slope=1.0)
        return float(cloning_loss(actions, windows, torch.ones(windows.counted.shape)))

    def set_progress(self, progress: float) -> None:
        """Set the step sizes of the policy at a progress of training in [0, 1]."""
        rate = (1.0 - progress) * self.config.actor_rate
        for group, speed in zip(
            self.actor_optimizer.param_groups, (1.0, self.config.time_constant_speed), strict=False
        ):
            group["lr"] = rate * speed

    def _sample(
        self, episodes: EpisodeSet, steps: tuple[Numbers, Numbers], rng: np.random.Generator
    ) -> Segments:
        config = self.config
        return sample_episodes(
            episodes,
            steps,
            config.batch,
            ticks=config.sequence,
            warm_up=config.warm_up,
            start_share=config.start_share,
            rng=rng,
        )

    def _act(self, windows: Segments, slope: float) -> Tensor:
        parts = (windows.observations, windows.actions, windows.restarts)
        return unroll(self.actor, *map(torch.from_numpy, parts), slope=slope)


class _Value(nn.Module):
    """V of inputs (n, 146)."""

    scale: Tensor

    def __init__(self, hidden: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.layers = make_layers((GUIDE_INPUT_SIZE, *hidden, 1), generator)
        self.register_buffer("scale", torch.tensor(INPUT_SCALE))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs * self.scale)[:, 0]

    @torch.no_grad()
    def expect(self, value: float) -> None:
        list(self.layers.parameters())[-1].add_(value)


def mean_value(episodes: EpisodeSet, gamma: float) -> float:
    """Return what the data's steps earned from then on in the mean, discounted, times 1 - gamma."""
    to_go = returns_to_go(episodes.rewards, episodes.lengths, discount=gamma)
    return (1.0 - gamma) * float(to_go[episodes.alive].mean())


def expectile_loss(errors: Tensor, expectile: float) -> Tensor:
    """Return the mean squared error (n,), weighted so that its zero is an expectile."""
    weights = torch.where(errors > 0.0, expectile, 1.0 - expectile)
    return (weights * errors.square()).mean()


def cloning_loss(actions: Tensor, windows: Segments, weights: Tensor) -> Tensor:
    """Return the weighted mean squared distance from the data's actions, over counted ticks."""
    counted: NDArray[np.bool_] = windows.counted
    errors = (actions - torch.from_numpy(windows.labels)).square().sum(dim=-1)
    share = torch.from_numpy(counted).float()
    return (weights * errors * share).sum() / share.sum().clamp(min=1.0)


@dataclass
class Args(RunOptions):
    """Train a policy on datasets by implicit Q-learning."""

    name: str = plain_name("iql")
    """Name of the run; its folder is runs/NAME."""
    dataset: tuple[str, ...] = ()
    """Datasets to learn from: their Minari ids, or their folders."""
    init: str = ""
    """Begin with the weights of this policy: a policy.onnx file, the folder of a run, or the name
    of a shipped policy (hover, hover_mlp). Its network replaces --network."""
    intervals: int = bounded(20, 1, 100_000)
    """Parts of the run; each ends with a validation and a checkpoint."""
    updates: int = bounded(250, 1, 1_000_000)
    """Gradient steps an interval."""
    held_out: float = bounded(0.05, 0, below=1)
    """Share of the episodes of each skill that nothing learns from."""
    validation: int = bounded(400, 1, 65_536)
    """Episodes of the standard cell that validate an interval."""
    threads: int = bounded(1, 1, 64)
    """Threads of PyTorch; results are reproducible for the same number only."""
    network: NetworkConfig = field(default_factory=lambda: SMOOTH_NETWORK)
    """Shape of the policy."""
    slope: SlopeConfig = field(default_factory=SlopeConfig)
    """Slope of the surrogate gradient; the adaptive one follows the validation's return."""
    learner: IQLConfig = field(default_factory=IQLConfig)
    """Critics, windows and step sizes."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """Logs, pictures and the scores at the end."""


class IQLTraining(Training[IQLLearner]):
    """Learns from datasets; nothing flies but the validation."""

    script = "iql"
    panels = PANELS

    def __init__(
        self, args: Args, actor: Network, learnt: EpisodeSet, held_out: EpisodeSet
    ) -> None:
        """Take the policy to train, the episodes to learn from, and those held out."""
        self.args, self.held_out, self.slope = args, held_out, 1.0
        self.airframe = str(learnt.metadata[0]["airframe"])
        self.action_kind = learnt.metadata[0]["action_kind"]
        self.quadrotor = load_quadrotor(self.airframe)
        learner = IQLLearner(args.learner, actor, learnt, seed=args.seed)
        super().__init__(learner, np.random.default_rng(args.seed), {})

    def begin(self, progress: float) -> None:
        """Choose the surrogate slope."""
        self.slope = slope_of(self, self.args.slope, progress)

    def step(self, progress: float) -> Losses:
        """Take one gradient step."""
        self.learner.set_progress(progress)
        return self.learner.update(self.slope, self.rng)

    def summary(self, losses: Sequence[Sequence[float]]) -> Row:
        """Return the log's row, with the validation."""
        args, learner = self.args, self.learner
        means = Losses(*np.mean(losses, axis=0))
        return {
            "interval": len(self.rows) + 1,
            "updates": learner.updates,
            "critic_loss": float(f"{means.critic:.4g}"),
            "value": float(f"{means.value:.4g}"),
            "actor_loss": float(f"{means.actor:.4g}"),
            "mean_weight": float(f"{means.weight:.4g}"),
            "held_out_loss": self.held_out_loss(),
            **validate_network(
                learner.actor,
                self.quadrotor,
                seed=args.seed,
                episodes=args.validation,
                action_kind=self.action_kind,
            ),
            "slope": round(self.slope, 2),
        }

    def held_out_loss(self) -> float | str:
        """Return the loss on held-out episodes, always the same; empty where there are none."""
        if not self.held_out:
            return ""
        rng = np.random.default_rng(self.args.seed)
        return float(f"{self.learner.held_out_loss(self.held_out, rng):.4g}")

    def export(self, path: Path, provenance: dict[str, Any]) -> None:
        """Write the policy as it is."""
        info = ArtifactInfo(self.airframe, self.action_kind, provenance)
        export_policy(self.learner.actor, path, info)


def main(args: Args) -> bool:
    """Train as the arguments say; return whether the run is whole."""
    check(args)
    learnt, held_out = load_data(args)
    actor = make_actor(args, learnt.metadata[0])
    return run_training(
        args,
        lambda: IQLTraining(args, actor, learnt, held_out),
        iterations=args.intervals,
        steps=args.updates,
        config={**asdict(args), "network": asdict(actor.config)},
    )


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


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    if not args.dataset:
        raise UserError("there is nothing to learn from; give --dataset, as dataset.py names it")
    check_bounds(args)
