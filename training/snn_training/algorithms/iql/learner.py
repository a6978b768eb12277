"""One gradient step of implicit Q-learning on recorded episodes, for a policy with a state.

Source: Kostrikov, Nair and Levine, "Offline Reinforcement Learning with Implicit Q-Learning",
ICLR 2022. V learns an upper expectile of Q over the actions in the data, Q learns from rewards and
V alone, and the policy clones actions weighted by exp(beta (Q - V)). No action that is not in the
data is ever asked about. As published, rewards are scaled so that returns span 1000.

Values are kept at about one inside the networks: rewards are multiplied by 1 - gamma, and
advantages divided by it again.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_sim.task import GUIDE_INPUT_SIZE
from snn_training.algorithms.td3.learner import descend, follow
from snn_training.common import Rules
from snn_training.data import (
    EpisodeSet,
    Numbers,
    PolicyWindows,
    all_steps,
    critic_inputs,
    returns_to_go,
    sample_policy_windows,
    transitions_at,
)
from snn_training.networks import INPUT_SCALE, Network, TwinCritic, good_sizes, make_layers, unroll

PUBLISHED_SPAN = 1000.0  # of the returns, to which beta belongs
GRADIENT_LIMIT = 1.0  # norm of the actor's gradient


@dataclass(frozen=True)
class IQLConfig:
    """Critics, windows and step sizes of implicit Q-learning."""

    expectile: float = 0.7
    """What V is of Q: 0.5 is the mean over the data's actions, nearer to 1 the best of them."""
    beta: float = 3.0
    """How sharply the policy prefers better actions; 0 clones all of them and needs no critics."""
    largest_weight: float = 100.0
    """Largest weight of a tick, exp(beta advantage), in the cloning."""
    critic_hidden: tuple[int, ...] = (128, 128)
    """Neurons of each hidden layer of both critics and of V."""
    actor_rate: float = 3e-3
    """Adam's step size of the policy at the start; it falls linearly to zero."""
    critic_rate: float = 1e-3
    """Adam's step size of critics and V."""
    time_constant_speed: float = 10.0
    """How many times larger the step of the time constants is; they are learnt as logarithms."""
    gamma: float = 0.99
    """Discount of the next tick's value."""
    tau: float = 0.005
    """Share of the way that the target critics follow in a step."""
    critic_batch: int = 512
    """Transitions of a critic step."""
    critic_steps: int = 2
    """Critic steps to each step of the policy."""
    batch: int = 64
    """Windows of a step of the policy."""
    sequence: int = 100
    """Ticks of a window."""
    warm_up: int = 50
    """Ticks that fill the state of a window that begins in mid-flight."""
    start_share: float = 0.6
    """Share of windows that begin with an episode, from zero states as in flight."""


class Losses(NamedTuple):
    """What an update measured."""

    critic: float
    value: float
    actor: float
    weight: float  # mean of the ticks' weights


class IQLLearner:
    """Policy, critics, V and their optimisers; `update` takes one gradient step."""

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
    def weights(self, episodes: EpisodeSet, windows: PolicyWindows) -> Tensor:
        """Return what each tick (ticks, n) counts in the cloning."""
        counted, weights = windows.counted, torch.ones(windows.counted.shape)
        if self.config.beta == 0.0:
            return weights
        numbers = np.broadcast_to(windows.episodes, counted.shape)[counted]
        inputs = torch.from_numpy(critic_inputs(episodes, numbers, windows.steps[counted]))
        actions = torch.from_numpy(windows.actions[counted])
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

    def snapshot(self) -> dict[str, Any]:
        """Return weights, optimisers and count, for a checkpoint."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {**parts, "updates": self.updates}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot of a learner of the same configuration."""
        for name, part in self._parts().items():
            part.load_state_dict(copy.deepcopy(snapshot[name]))  # an optimiser would share it
        self.updates = int(snapshot["updates"])

    def is_finite(self) -> bool:
        """Whether all weights are finite numbers."""
        networks: tuple[nn.Module, ...] = (self.actor, self.critic, self.value)
        return all(bool(x.isfinite().all()) for part in networks for x in part.parameters())

    def _sample(
        self, episodes: EpisodeSet, steps: tuple[Numbers, Numbers], rng: np.random.Generator
    ) -> PolicyWindows:
        config = self.config
        return sample_policy_windows(
            episodes,
            steps,
            config.batch,
            ticks=config.sequence,
            warm_up=config.warm_up,
            start_share=config.start_share,
            rng=rng,
        )

    def _act(self, windows: PolicyWindows, slope: float) -> Tensor:
        parts = (windows.observations, windows.flown, windows.restarts)
        return unroll(self.actor, *map(torch.from_numpy, parts), slope=slope)

    def _parts(self) -> dict[str, Any]:
        names = ("actor", "critic", "target_critic", "value", "actor_optimizer", "critic_optimizer")
        return {name: getattr(self, name) for name in names}


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


def cloning_loss(actions: Tensor, windows: PolicyWindows, weights: Tensor) -> Tensor:
    """Return the weighted mean squared distance from the data's actions, over counted ticks."""
    counted: NDArray[np.bool_] = windows.counted
    errors = (actions - torch.from_numpy(windows.actions)).square().sum(dim=-1)
    share = torch.from_numpy(counted).float()
    return (weights * errors * share).sum() / share.sum().clamp(min=1.0)


def learner_rules(config: IQLConfig) -> Rules:
    """Return the rules of the learner's options."""
    above = "above 0 and at most 1"
    return {
        "learner.expectile": (0.0 < config.expectile < 1.0, "between 0 and 1"),
        "learner.beta": (0.0 <= config.beta <= 1000.0, "0 to 1000"),
        "learner.largest-weight": (1.0 <= config.largest_weight <= 1e6, "1 to 1000000"),
        "learner.critic-hidden": (
            good_sizes(config.critic_hidden),
            "one to eight layers of 1 to 4096 neurons",
        ),
        "learner.actor-rate": (0.0 < config.actor_rate <= 1.0, above),
        "learner.critic-rate": (0.0 < config.critic_rate <= 1.0, above),
        "learner.time-constant-speed": (0.0 <= config.time_constant_speed <= 100.0, "0 to 100"),
        "learner.gamma": (0.0 <= config.gamma < 1.0, "0 or more and below 1"),
        "learner.tau": (0.0 < config.tau <= 1.0, above),
        "learner.critic-batch": (1 <= config.critic_batch <= 1_000_000, "1 to 1000000"),
        "learner.critic-steps": (1 <= config.critic_steps <= 1000, "1 to 1000"),
        "learner.batch": (1 <= config.batch <= 100_000, "1 to 100000"),
        "learner.sequence": (2 <= config.sequence <= 10_000, "2 to 10000"),
        "learner.warm-up": (
            0 <= config.warm_up < config.sequence,
            "0 or more and shorter than --learner.sequence",
        ),
        "learner.start-share": (0.0 <= config.start_share <= 1.0, "0 to 1"),
    }
