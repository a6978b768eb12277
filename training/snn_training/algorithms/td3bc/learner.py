"""One gradient step of TD3BC on windows of flight, for a policy with a state.

The critics see single transitions with the action history; the actor, which may remember, is run
over whole windows from zero states, and so is its target.
"""

from __future__ import annotations

import copy
from dataclasses import astuple, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_sim.task import EPISODE_STEPS, RewardCoefficients
from snn_training.algorithms.runner import Kept
from snn_training.algorithms.td3 import clipped_noise, descend, follow, target_of
from snn_training.common import Rules, bounded, layers
from snn_training.data import Replay, Segments, sample_replay, splice, sum_rewards
from snn_training.networks import (
    Network,
    NetworkConfig,
    TwinCritic,
    make_network,
    unroll,
    unroll_spiking,
)
from snn_training.neurons import sparsity_loss

Ticks = tuple[NDArray[np.int64], NDArray[np.int64]]  # ticks and windows, each (n,)
HOVER_VALUE = 1.0  # what critics expect at first: rewards are scaled so that hover is worth this
GRADIENT_LIMIT = 1.0  # norm of the actor's gradient


@dataclass(frozen=True)
class SequenceConfig:
    """Critics, windows and step sizes of TD3BC on sequences."""

    critic_hidden: tuple[int, ...] = layers((128, 128))
    """Neurons of each critic's hidden layers."""
    actor_rate: float = bounded(3e-3, above=0, at_most=1)
    """Adam's step size of the actor."""
    critic_rate: float = bounded(1e-3, above=0, at_most=1)
    """Adam's step size of the critics."""
    last_rate: float = bounded(0.0, 0, 1)
    """Share of both step sizes that is left at the end of the run; they fall linearly."""
    time_constant_speed: float = bounded(10.0, 0, 100)
    """How many times larger the step of the time constants is; they are learnt as logarithms."""
    gamma: float = bounded(0.98, 0, below=1)
    """Discount of the next tick's value."""
    tau: float = bounded(0.01, above=0, at_most=1)
    """Share of the way that the targets follow the networks in an actor step."""
    policy_noise: float = bounded(0.2, 0, 2)
    """Noise on the target policy's actions (standard deviation)."""
    noise_clip: float = bounded(0.5, 0, 2)
    """Largest such noise."""
    delay: int = bounded(1, 1, 1000)
    """Gradient steps to each actor step; critics take `critic_steps` in each."""
    batch: int = bounded(64, 1, 100_000)
    """Windows a gradient step."""
    sequence: int = bounded(100, 2, EPISODE_STEPS, note=", the ticks of an episode")
    """Ticks of a window."""
    warm_up: int = bounded(50, 0)
    """Ticks that fill the state of a window that begins in mid-flight."""
    start_share: float = bounded(0.6, 0, 1)
    """Share of windows that begin with an episode, from zero states as in flight."""
    critic_batch: int = bounded(1024, 0, 1_000_000)
    """Ticks of the windows that a critic step sees, drawn at random; 0 takes all."""
    critic_steps: int = bounded(2, 1, 1000)
    """Critic steps on each batch of windows."""
    steps: int = bounded(5, 1, EPISODE_STEPS)
    """Ticks whose rewards are summed before the value of what follows is added."""
    alpha: float = bounded(0.3, 0, 1000)
    """Weight of the value, which is divided by its mean size; 0 only clones."""
    value_from: float = bounded(0.1, 0, 1)
    """Share of the run before the value counts, while the critics learn."""
    bc_weight: float = bounded(2.0, 0, 1000)
    """Weight of the distance from the action to clone; 0 does not clone."""
    bc_decay: float = bounded(1.0, 0, 1)
    """Factor on that weight each epoch; 0.99, as published, lets the cloning fade."""
    bc_target: Literal["flown", "guide"] = "guide"
    """What is cloned: the actions flown, as published, or what the guide would have done there."""
    bc_huber: float = bounded(0.05, 0, 10)
    """Distance up to which cloning is quadratic, beyond it is linear; 0 is quadratic always, as
    published."""
    smoothness: float = bounded(4.0, 0, 1000)
    """Weight of the squared change of the action from tick to tick, beyond the guide's own where
    that is cloned."""
    sparsity: float = bounded(0.0, 0, 10_000)
    """Weight of what spiking layers fire beyond `target-rate`; about 30 makes them sparse."""
    target_rate: float = bounded(0.1, 0, 1)
    """Share of a layer's neurons that may spike in a tick without cost."""

    def relations(self) -> Rules:
        """Return what ties the options together."""
        shorter = self.warm_up < self.sequence
        return {"warm-up": (shorter, "0 or more and shorter than --learner.sequence")}


class Losses(NamedTuple):
    """What an update measured; the actor's are of its last step."""

    critic: float
    value: float
    cloning: float
    change: float


class LossWeights(NamedTuple):
    """What the parts of the actor's loss weigh now."""

    value: float  # alpha, 0 while the critics learn
    cloning: float
    slope: float  # of the surrogate gradient


class NStepTarget(NamedTuple):
    """What follows each tick of the windows, each (ticks, n)."""

    sums: NDArray[np.float32]  # of the rewards from the tick on
    discounts: NDArray[np.float32]  # of what comes after the last of them
    last: NDArray[np.int64]  # the tick of the last of them
    following: Tensor  # (ticks, n, 4) the target actor's action at what follows the tick


class SequenceLearner(Kept):
    """The networks of TD3BC, their targets and optimisers; `update` takes one gradient step."""

    kept = (
        "actor",
        "critic",
        "target_actor",
        "target_critic",
        "actor_optimizer",
        "critic_optimizer",
        "updates",
        "actor_losses",
        "generator",
    )

    def __init__(
        self,
        config: SequenceConfig,
        network: NetworkConfig,
        *,
        privileged: int = 0,
        device: str = "cpu",
        seed: int,
    ) -> None:
        """Make networks, targets and optimisers; the seed fixes weights and noise.

        Args:
            config: Critics, windows, step sizes.
            network: The policy.
            privileged: Numbers that the critics see beside observation and history.
            device: Where PyTorch computes.
            seed: Of weights and noise.
        """
        self.config, self.device, self.updates = config, device, 0
        self.generator = torch.Generator().manual_seed(seed)
        self.actor = make_network(network, generator=self.generator).to(device)
        critic = TwinCritic(config.critic_hidden, self.generator, privileged=privileged)
        critic.expect(HOVER_VALUE)
        self.critic = critic.to(device)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = self._actor_optimizer()
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), lr=config.critic_rate, fused=True
        )
        self.actor_losses = 0.0, 0.0

    def update(
        self,
        replay: Replay,
        coefficients: RewardCoefficients,
        weights: LossWeights,
        rng: np.random.Generator,
    ) -> Losses:
        """Take one gradient step on windows drawn from the replay, which stays as it is."""
        config = self.config
        windows = sample_replay(
            replay,
            config.batch,
            ticks=config.sequence,
            warm_up=config.warm_up,
            start_share=config.start_share,
            rng=rng,
        )
        ahead = self.n_step_target(windows, coefficients)
        steps = [self._critic_step(replay, windows, ahead, rng) for _ in range(config.critic_steps)]
        inputs, chosen, critic, value = steps[-1]
        self.updates += 1
        if self.updates % config.delay == 0:
            self.actor_losses = self._update_actor(windows, inputs, chosen, weights)
            follow(self.target_actor, self.actor, config.tau)
            follow(self.target_critic, self.critic, config.tau)
        return Losses(critic, value, *self.actor_losses)

    @torch.no_grad()
    def following_actions(self, windows: Segments) -> Tensor:
        """Return the target actor's actions (ticks, n, 4) at what follows each tick, noise-free.

        After a cut episode that is its last observation; after a crash it means nothing.
        """
        longer, following = splice(windows)
        parts = (longer.observations, longer.actions, longer.restarts)
        actions = unroll(self.target_actor, *map(self._tensor, parts), slope=1.0)
        place = self._tensor(following)[..., None].expand(-1, -1, actions.shape[-1])
        return actions.gather(0, place)

    def n_step_target(self, windows: Segments, coefficients: RewardCoefficients) -> NStepTarget:
        """Return what the windows say about what follows each of their ticks."""
        config = self.config
        scaled = (1.0 - config.gamma) * np.array(astuple(coefficients))  # values of about one
        rewards = windows.reward_parts @ scaled.astype(np.float32)
        sums = sum_rewards(windows, rewards, steps=config.steps, gamma=config.gamma)
        return NStepTarget(*sums, self.following_actions(windows))

    @torch.no_grad()
    def target_values(
        self, replay: Replay, windows: Segments, ahead: NStepTarget, chosen: Ticks
    ) -> Tensor:
        """Return what the critics should say of chosen ticks (n,).

        That is the rewards up to the last tick that is summed, and then the lower of the target
        critics' values of the target actor's action, which noise smooths. Only a crash ends the
        future.
        """
        config, last = self.config, (ahead.last[chosen], chosen[1])
        inputs = replay.next_inputs(windows.steps[last], windows.flights[last])
        actions = ahead.following[last]
        limit = config.noise_clip
        noise = clipped_noise(actions.shape, config.policy_noise, limit, self.generator)
        smoothed = (actions + noise.to(self.device)).clamp(-1.0, 1.0)
        value = torch.minimum(*self.target_critic(self._tensor(inputs), smoothed))
        terminated = self._tensor(windows.terminated[last])
        sums, discounts = self._tensor(ahead.sums[chosen]), self._tensor(ahead.discounts[chosen])
        return target_of(sums, terminated, value, discounts)

    def value_loss(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """Return minus the mean value of the actor's own actions (n, 4), by its mean size."""
        value = self.critic.first_value(inputs, actions)
        return -value.mean() / value.detach().abs().mean().clamp(min=1e-6)

    def cloning_loss(self, actions: Tensor, windows: Segments) -> Tensor:
        """Return the mean squared distance from what is to be cloned, over counted ticks."""
        flown = self.config.bc_target == "flown"
        target = self._tensor(windows.actions if flown else windows.labels)
        error, width = actions - target, self.config.bc_huber
        if width > 0.0:
            pull = nn.functional.huber_loss(actions, target, delta=width, reduction="none")
            pull = pull * (2.0 / width)  # as steep as the square where the action is off by one
        else:
            pull = error.square()
        return mean_over(pull.sum(dim=-1), self._tensor(windows.counted))

    def change_loss(self, actions: Tensor, windows: Segments) -> Tensor:
        """Return the mean squared change of the actions from tick to tick of an episode.

        Where the guide is cloned, only what the guide would not have changed costs anything, so
        that the price of jitter does not slow recoveries down.
        """
        counted = windows.counted[:-1] & windows.counted[1:] & ~windows.restarts[1:]
        change = actions[1:] - actions[:-1]
        if self.config.bc_target == "guide" and self.config.bc_weight > 0.0:
            change = change - self._tensor(windows.labels[1:] - windows.labels[:-1])
        return mean_over(change.square().sum(dim=-1), self._tensor(counted))

    def cpu_actor(self) -> Network:
        """Return the actor where NumPy can tick it: on the CPU."""
        return self.actor if self.device == "cpu" else copy.deepcopy(self.actor).cpu()

    def set_progress(self, progress: float) -> None:
        """Set the step sizes of a progress of training in [0, 1]."""
        share = 1.0 - (1.0 - self.config.last_rate) * progress
        others, times = self.actor_optimizer.param_groups
        others["lr"] = share * self.config.actor_rate
        times["lr"] = others["lr"] * self.config.time_constant_speed
        self.critic_optimizer.param_groups[0]["lr"] = share * self.config.critic_rate

    def _critic_step(
        self, replay: Replay, windows: Segments, ahead: NStepTarget, rng: np.random.Generator
    ) -> tuple[Tensor, Ticks, float, float]:
        """Take a step of the critics; return inputs, which ticks they are of, loss and value."""
        chosen = choose_ticks(windows.counted, self.config.critic_batch, rng)
        inputs = self._tensor(replay.inputs(windows.steps[chosen], windows.flights[chosen]))
        target = self.target_values(replay, windows, ahead, chosen)
        actions = self._tensor(windows.actions[chosen])
        first, second = self.critic(inputs, actions)
        loss = (first - target).square().mean() + (second - target).square().mean()
        descend(self.critic_optimizer, loss)
        return inputs, chosen, loss.item(), first.detach().mean().item()

    def _update_actor(
        self,
        windows: Segments,
        inputs: Tensor,
        chosen: Ticks,
        weights: LossWeights,
    ) -> tuple[float, float]:
        parts = (windows.observations, windows.actions, windows.restarts)
        actions, spikes = unroll_spiking(self.actor, *map(self._tensor, parts), slope=weights.slope)
        change = self.change_loss(actions, windows)
        loss = self.config.smoothness * change
        if self.config.sparsity > 0.0:
            loss = loss + self.config.sparsity * sparsity_loss(spikes, self.config.target_rate)
        cloning = torch.zeros(())
        if weights.cloning > 0.0:
            cloning = self.cloning_loss(actions, windows)
            loss = loss + weights.cloning * cloning
        if weights.value > 0.0:
            loss = loss + weights.value * self.value_loss(inputs, actions[chosen])
        descend(self.actor_optimizer, loss, limit=GRADIENT_LIMIT)
        return cloning.item(), change.item()

    def _actor_optimizer(self) -> torch.optim.Optimizer:
        times = self.actor.time_constants()
        others = [x for x in self.actor.parameters() if all(x is not y for y in times)]
        groups = [{"params": others}, {"params": times}]
        return torch.optim.Adam(groups, lr=self.config.actor_rate, fused=True)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def choose_ticks(counted: NDArray[np.bool_], count: int, rng: np.random.Generator) -> Ticks:
    """Draw counted ticks with replacement, or take all of them where count is 0."""
    ticks, windows = np.nonzero(counted)
    if count == 0:
        return ticks, windows
    index = rng.integers(len(ticks), size=count)
    return ticks[index], windows[index]


def mean_over(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of the values that count; zero without any."""
    weights = counted.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1.0)
