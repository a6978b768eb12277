"""One gradient step of TD3BC on windows of flight, for a policy with a state.

The critics see single transitions with the action history; the actor, which may remember, is run
over whole windows from zero states, and so is its target.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_sim.task import RewardCoefficients
from snn_training.algorithms.td3.learner import clipped_noise, descend, follow, target_of
from snn_training.algorithms.td3bc.config import SequenceConfig
from snn_training.data import Replay, Windows, sample_windows, splice, sum_rewards
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


class Losses(NamedTuple):
    """What an update measured; the actor's are of its last step."""

    critic: float
    value: float
    cloning: float
    change: float


class Pressure(NamedTuple):
    """What pulls on the actor now."""

    value: float  # alpha, 0 while the critics learn
    cloning: float
    slope: float  # of the surrogate gradient


class Outlook(NamedTuple):
    """What follows each tick of the windows, each (ticks, n)."""

    sums: NDArray[np.float32]  # of the rewards from the tick on
    discounts: NDArray[np.float32]  # of what comes after the last of them
    last: NDArray[np.int64]  # the tick of the last of them
    following: Tensor  # (ticks, n, 4) the target actor's action at what follows the tick


class SequenceLearner:
    """The networks of TD3BC, their targets and optimisers; `update` takes one gradient step."""

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
        self._actor_losses = 0.0, 0.0

    def update(
        self,
        replay: Replay,
        coefficients: RewardCoefficients,
        pressure: Pressure,
        rng: np.random.Generator,
    ) -> Losses:
        """Take one gradient step on windows drawn from the replay, which stays as it is."""
        config = self.config
        windows = sample_windows(
            replay,
            config.batch,
            ticks=config.sequence,
            warm_up=config.warm_up,
            start_share=config.start_share,
            rng=rng,
        )
        outlook = self.look_ahead(windows, coefficients)
        for _ in range(config.critic_steps):
            chosen = choose_ticks(windows.counted, config.critic_batch, rng)
            inputs = self._tensor(replay.inputs(windows.rows[chosen], windows.drones[chosen]))
            target = self.target_values(replay, windows, outlook, chosen)
            actions = self._tensor(windows.actions[chosen])
            critic, value = self._update_critics(inputs, actions, target)
        self.updates += 1
        if self.updates % config.delay == 0:
            self._actor_losses = self._update_actor(windows, inputs, chosen, pressure)
            follow(self.target_actor, self.actor, config.tau)
            follow(self.target_critic, self.critic, config.tau)
        return Losses(critic, value, *self._actor_losses)

    @torch.no_grad()
    def following_actions(self, windows: Windows) -> Tensor:
        """Return the target actor's actions (ticks, n, 4) at what follows each tick, noise-free.

        After a cut episode that is its last observation; after a crash it means nothing.
        """
        spliced = splice(windows)
        parts = (spliced.observations, spliced.actions, spliced.restarts)
        actions = unroll(self.target_actor, *map(self._tensor, parts), slope=1.0)
        place = self._tensor(spliced.following)[..., None].expand(-1, -1, actions.shape[-1])
        return actions.gather(0, place)

    def look_ahead(self, windows: Windows, coefficients: RewardCoefficients) -> Outlook:
        """Return what the windows say about what follows each of their ticks."""
        config = self.config
        weights = (1.0 - config.gamma) * np.array(astuple(coefficients))  # values of about one
        rewards = windows.reward_parts @ weights.astype(np.float32)
        sums = sum_rewards(windows, rewards, steps=config.steps, gamma=config.gamma)
        return Outlook(*sums, self.following_actions(windows))

    @torch.no_grad()
    def target_values(
        self, replay: Replay, windows: Windows, outlook: Outlook, chosen: Ticks
    ) -> Tensor:
        """Return what the critics should say of chosen ticks (n,).

        That is the rewards up to the last tick that is summed, and then the lower of the target
        critics' values of the target actor's action, which noise smooths. Only a crash ends the
        future.
        """
        config, last = self.config, (outlook.last[chosen], chosen[1])
        inputs = replay.next_inputs(windows.rows[last], windows.drones[last])
        actions = outlook.following[last]
        limit = config.noise_clip
        noise = clipped_noise(actions.shape, config.policy_noise, limit, self.generator)
        smoothed = (actions + noise.to(self.device)).clamp(-1.0, 1.0)
        value = torch.minimum(*self.target_critic(self._tensor(inputs), smoothed))
        terminated = self._tensor(windows.terminated[last])
        sums, discounts = (
            self._tensor(outlook.sums[chosen]),
            self._tensor(outlook.discounts[chosen]),
        )
        return target_of(sums, terminated, value, discounts)

    def value_loss(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """Return minus the mean value of the actor's own actions (n, 4), by its mean size."""
        value = self.critic.first_value(inputs, actions)
        return -value.mean() / value.detach().abs().mean().clamp(min=1e-6)

    def cloning_loss(self, actions: Tensor, windows: Windows) -> Tensor:
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

    def change_loss(self, actions: Tensor, windows: Windows) -> Tensor:
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

    def snapshot(self) -> dict[str, Any]:
        """Return weights, optimisers, generator and counts, for a checkpoint."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        counts = {"updates": self.updates, "actor_losses": self._actor_losses}
        return {**parts, **counts, "generator": self.generator.get_state()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot of a learner of the same configuration."""
        for name, part in self._parts().items():
            part.load_state_dict(copy.deepcopy(snapshot[name]))  # an optimiser would share it
        self.generator.set_state(snapshot["generator"])
        self.updates, self._actor_losses = snapshot["updates"], snapshot["actor_losses"]

    def is_finite(self) -> bool:
        """Whether all weights are finite numbers."""
        networks = (self.actor, self.critic)
        return all(bool(x.isfinite().all()) for part in networks for x in part.parameters())

    def _update_critics(
        self, inputs: Tensor, actions: Tensor, target: Tensor
    ) -> tuple[float, float]:
        first, second = self.critic(inputs, actions)
        loss = (first - target).square().mean() + (second - target).square().mean()
        descend(self.critic_optimizer, loss)
        return loss.item(), first.detach().mean().item()

    def _update_actor(
        self,
        windows: Windows,
        inputs: Tensor,
        chosen: Ticks,
        pressure: Pressure,
    ) -> tuple[float, float]:
        parts = (windows.observations, windows.actions, windows.restarts)
        actions, spikes = unroll_spiking(
            self.actor, *map(self._tensor, parts), slope=pressure.slope
        )
        change = self.change_loss(actions, windows)
        loss = self.config.smoothness * change
        if self.config.sparsity > 0.0:
            loss = loss + self.config.sparsity * sparsity_loss(spikes, self.config.target_rate)
        cloning = torch.zeros(())
        if pressure.cloning > 0.0:
            cloning = self.cloning_loss(actions, windows)
            loss = loss + pressure.cloning * cloning
        if pressure.value > 0.0:
            loss = loss + pressure.value * self.value_loss(inputs, actions[chosen])
        descend(self.actor_optimizer, loss, limit=GRADIENT_LIMIT)
        return cloning.item(), change.item()

    def _actor_optimizer(self) -> torch.optim.Optimizer:
        times = self.actor.time_constants()
        others = [x for x in self.actor.parameters() if all(x is not y for y in times)]
        groups = [{"params": others}, {"params": times}]
        return torch.optim.Adam(groups, lr=self.config.actor_rate, fused=True)

    def _parts(self) -> dict[str, Any]:
        names = ("actor", "critic", "target_actor", "target_critic")
        return {x: getattr(self, x) for x in (*names, "actor_optimizer", "critic_optimizer")}

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
