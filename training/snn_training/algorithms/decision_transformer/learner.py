"""One gradient step of a decision transformer: clone the actions that follow their return-to-go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from snn_training.algorithms.decision_transformer.data import Chunk, Lanes
from snn_training.algorithms.runner import Kept
from snn_training.common import Rules, bounded
from snn_training.networks.transformer import (
    POSITION,
    TURN,
    DecisionTransformer,
    NamedStates,
    TransformerConfig,
)


@dataclass(frozen=True)
class TransformerLearnerConfig:
    """How the network learns."""

    batch: int = bounded(64, 1, 65_536)
    """Segments of episodes side by side."""
    chunk: int = bounded(20, 2, 500, note=", which is an episode")
    """Ticks of each that an update learns from; gradients end at its beginning, states do not."""
    learning_rate: float = bounded(2e-3, above=0, at_most=1)
    """AdamW's step size after the warm-up; it falls to a tenth along a cosine."""
    warm_up: int = bounded(200, 0, 1_000_000)
    """Updates in which the step size rises."""
    weight_decay: float = bounded(1e-4, 0, 10)
    """AdamW's decay of the matrices."""
    gradient_limit: float = bounded(0.25, above=0)
    """Largest norm of a gradient."""
    huber: float = bounded(1.0, above=0)
    """Error of an action up to which the loss is quadratic; beyond, it is linear."""
    initial_rate: float = bounded(0.1, above=0, below=0.5)
    """Share of neurons that fire at first: thresholds are set by the first chunk."""
    rate: float = bounded(0.05, 0, 1)
    """Spikes a tick and neuron above which a layer pays."""
    rate_weight: float = bounded(0.1, 0, 1000)
    """Price of the squared excess."""
    least_rate: float = 0.005
    """Spikes a tick and neuron below which a layer pays, in any flight: one that says nothing
    cannot be told from one that is dead."""
    silence_weight: float = bounded(1e-3, 0, 1000)
    """Price of the squared shortfall, as a share of the least rate."""

    def relations(self) -> Rules:
        """Return what ties the options together."""
        least = 0.0 < self.least_rate <= self.rate or self.silence_weight == 0.0
        return {"least-rate": (least, "above 0 and at most --learner.rate")}


class Losses(NamedTuple):
    """What an update measured."""

    cloning: float
    rate: float  # mean share of all neurons that fired


class TransformerLearner(Kept):
    """Network and optimiser; `update` takes one step."""

    kept = ("actor", "optimizer", "states", "generator", "updates")

    def __init__(
        self, config: TransformerLearnerConfig, network: TransformerConfig, *, seed: int
    ) -> None:
        """Draw weights by a seed."""
        self.config = config
        self.generator = torch.Generator().manual_seed(seed)
        self.actor = DecisionTransformer(network, generator=self.generator)
        matrices = [x for x in self.actor.parameters() if x.dim() >= 2]
        others = [x for x in self.actor.parameters() if x.dim() < 2]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
        )
        self.updates = 0
        self.states: NamedStates = self.actor.initial_states(config.batch)

    def update(self, lanes: Lanes, slope: float, total: int, rng: np.random.Generator) -> Losses:
        """Take one gradient step on the next chunk.

        Args:
            lanes: Where the data come from.
            slope: Slope k of the surrogate gradient.
            total: Updates of the whole run, for the step size.
            rng: Draws segments.
        """
        chunk, config = lanes.chunk(rng), self.config
        if self.updates == 0:
            inputs = chunk.observations, chunk.last_actions, chunk.returns
            self.actor.set_thresholds(*inputs, rate=config.initial_rate)
        for group in self.optimizer.param_groups:
            group["lr"] = step_size(config, self.updates, total)
        states = begin_anew(self.states, chunk.keep, self.generator)
        actions, self.states, spikes = self.actor(
            chunk.observations, chunk.last_actions, chunk.returns, states, slope
        )
        cloning = cloning_loss(actions, chunk, config.huber)
        self.optimizer.zero_grad()
        (cloning + rate_price(spikes, config)).backward()
        torch.nn.utils.clip_grad_norm_(self.actor.parameters(), config.gradient_limit)
        self.optimizer.step()
        self.states = {name: x.detach() for name, x in self.states.items()}
        self.updates += 1
        fired = sum(float(x.detach().sum()) for x in spikes.values())
        return Losses(cloning.item(), fired / max(sum(x.numel() for x in spikes.values()), 1))

    def held_out_loss(self, lanes: Lanes, rng: np.random.Generator, *, chunks: int = 20) -> float:
        """Return the cloning loss on other episodes."""
        states, losses = self.actor.initial_states(self.config.batch), []
        with torch.no_grad():
            for _ in range(chunks):
                chunk = lanes.chunk(rng)
                states = begin_anew(states, chunk.keep, self.generator)
                inputs = chunk.observations, chunk.last_actions, chunk.returns
                actions, states, _ = self.actor(*inputs, states)
                losses.append(cloning_loss(actions, chunk, self.config.huber).item())
        return float(np.mean(losses))


def cloning_loss(actions: Tensor, chunk: Chunk, huber: float) -> Tensor:
    """Return the mean loss of actions (T, batch, 4) over the ticks that were flown."""
    errors = functional.huber_loss(actions, chunk.actions, delta=huber, reduction="none")
    return (chunk.weights * errors).sum() / (actions.shape[-1] * chunk.weights.sum().clamp(min=1.0))


def rate_price(spikes: Mapping[str, Tensor], config: TransformerLearnerConfig) -> Tensor:
    """Return what layers (T, batch, neurons) pay for firing too much, or too little in a flight."""
    price = torch.zeros(())
    for fired in spikes.values():
        excess = functional.relu(fired.mean() - config.rate) ** 2
        of_lanes = fired.mean(dim=(0, 2))
        shortfall = functional.relu(1.0 - of_lanes / config.least_rate) ** 2
        price = price + config.rate_weight * excess + config.silence_weight * shortfall.mean()
    return price


def step_size(config: TransformerLearnerConfig, update: int, total: int) -> float:
    """Return the step size of an update, counted from 0."""
    rise = min((update + 1) / max(config.warm_up, 1), 1.0)
    fall = 0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * min(update / max(total, 1), 1.0)))
    return config.learning_rate * rise * fall


def begin_anew(states: NamedStates, keep: Tensor, generator: torch.Generator) -> NamedStates:
    """Return states, reset where keep (batch, 1) is 0; phases begin anywhere in a long flight."""
    anew = {}
    for name, state in states.items():
        if name == POSITION:
            anywhere = torch.randint(0, TURN, state.shape, generator=generator)
            anew[name] = torch.where(keep > 0.0, state, anywhere)
        else:
            anew[name] = state * keep.view(-1, *[1] * (state.dim() - 1))
    return anew
