"""One gradient step of TD3: twin critics, a smoothed target policy, a delayed actor."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snn_training.common import Rules
from snn_training.data import Batch
from snn_training.networks import ActorKind, TwinCritic, good_sizes, make_actor


@dataclass(frozen=True)
class LearnerConfig:
    """Networks and step sizes of TD3."""

    actor: ActorKind = "perceptron"
    """Kind of the actor: `perceptron`, or `spiking`, which has some steps for each answer and
    remembers nothing, as in the published slope study."""
    actor_steps: int = 4
    """Steps of a spiking actor for an answer."""
    actor_hidden: tuple[int, ...] = (64, 64)
    """Neurons of the actor's hidden layers."""
    critic_hidden: tuple[int, ...] = (64, 64)
    """Neurons of each critic's hidden layers."""
    actor_rate: float = 1e-3
    """Adam's step size of the actor."""
    critic_rate: float = 1e-3
    """Adam's step size of the critics."""
    last_rate: float = 0.05
    """Share of both step sizes that is left at the end of the run; they fall linearly."""
    gamma: float = 0.99
    """Discount of the next tick's value."""
    tau: float = 0.01
    """Share of the way that the targets follow the networks in an actor step."""
    policy_noise: float = 0.2
    """Noise on the target policy's actions (standard deviation)."""
    noise_clip: float = 0.5
    """Largest such noise."""
    delay: int = 2
    """Critic steps to each actor step."""


class Learner:
    """The networks of TD3, their targets and optimisers; `update` takes one gradient step."""

    def __init__(self, config: LearnerConfig, *, seed: int) -> None:
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

    def snapshot(self) -> dict[str, Any]:
        """Return weights, optimisers, generator and count, for a checkpoint."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {**parts, "generator": self.generator.get_state(), "updates": self.updates}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot of a learner of the same configuration."""
        for name, part in self._parts().items():
            part.load_state_dict(copy.deepcopy(snapshot[name]))  # an optimiser would share it
        self.generator.set_state(snapshot["generator"])
        self.updates = int(snapshot["updates"])

    def is_finite(self) -> bool:
        """Whether all weights are finite numbers."""
        networks = (self.actor, self.critic)
        return all(bool(x.isfinite().all()) for part in networks for x in part.parameters())

    def _parts(self) -> dict[str, Any]:
        names = ("actor", "critic", "target_actor", "target_critic")
        return {x: getattr(self, x) for x in (*names, "actor_optimizer", "critic_optimizer")}


@torch.no_grad()
def follow(target: nn.Module, network: nn.Module, tau: float) -> None:
    """Move a target network a share `tau` of the way to its network."""
    for old, new in zip(target.parameters(), network.parameters(), strict=True):
        old.lerp_(new, tau)


def learner_rules(config: LearnerConfig) -> Rules:
    """Return the rules of the learner's options."""
    sizes = "one to eight layers of 1 to 4096 neurons"
    return {
        "learner.actor-steps": (1 <= config.actor_steps <= 100, "1 to 100"),
        "learner.actor-hidden": (good_sizes(config.actor_hidden), sizes),
        "learner.critic-hidden": (good_sizes(config.critic_hidden), sizes),
        "learner.actor-rate": (0.0 < config.actor_rate <= 1.0, "above 0 and at most 1"),
        "learner.critic-rate": (0.0 < config.critic_rate <= 1.0, "above 0 and at most 1"),
        "learner.last-rate": (0.0 <= config.last_rate <= 1.0, "0 to 1"),
        "learner.gamma": (0.0 <= config.gamma < 1.0, "0 or more and below 1"),
        "learner.tau": (0.0 < config.tau <= 1.0, "above 0 and at most 1"),
        "learner.policy-noise": (0.0 <= config.policy_noise <= 2.0, "0 to 2"),
        "learner.noise-clip": (0.0 <= config.noise_clip <= 2.0, "0 to 2"),
        "learner.delay": (1 <= config.delay <= 1000, "1 to 1000"),
    }


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
