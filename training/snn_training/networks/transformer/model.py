"""The decision transformer, spiking or dense: sequences for training, the same code for one tick.

A token is one tick: return-to-go, observation, last applied action; the action is read from it, so
no token holds its own label. Attention is banded: a tick sees itself and the `window - 1` ticks
before it, whose keys and values are states. A sequence is therefore exactly what its ticks one by
one are, however long the flight.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE
from snn_training.networks.config import OBSERVATION_SCALE, TransformerConfig
from snn_training.networks.transformer.blocks import (
    DenseBlock,
    NamedStates,
    SpikingBlock,
    advance,
    linear,
    phase_code,
    phase_steps,
)
from snn_training.neurons import Membranes

TOKEN_SIZE = 1 + OBSERVATION_SIZE + ACTION_SIZE
RETURN_SCALE, RETURN_MIDDLE = 4.0, 0.75  # brings rewards a tick to about unit size
POSITION = "position"  # state of the phase code
LAST_LAYER = "last"  # spikes that are read out, where spikes are


class DecisionTransformer(nn.Module):
    """Trainable parameters, and the forward pass over sequences from given states."""

    def __init__(
        self, config: TransformerConfig, *, generator: torch.Generator | None = None
    ) -> None:
        """Draw the weights from a generator.

        Raises:
            ValueError: The heads do not share the width evenly, or the window is below 2.
        """
        super().__init__()
        if config.width % config.heads or config.window < 2:
            raise ValueError("the width must be a multiple of the heads, the window at least 2")
        self.config = config
        block = SpikingBlock if config.kind == "spiking" else DenseBlock
        self.embedding = linear(TOKEN_SIZE, config.width, generator)
        with torch.no_grad():  # about one on each number of the stream, and not all at zero
            self.embedding.weight.mul_(3.0**0.5 * 2.0)
            self.embedding.bias.uniform_(-0.5, 0.5, generator=generator)
        self.blocks = nn.ModuleList(
            block(config, f"block{index + 1}", generator) for index in range(config.layers)
        )
        self.readout = linear(config.width, ACTION_SIZE, generator)
        if self.reads_spikes:
            period = 1.0 / config.control_rate
            self.last = Membranes(
                config.width, config.membranes, period=period, generator=generator
            )
        elif config.kind == "dense":
            self.norm = nn.LayerNorm(config.width)
        self.register_buffer("observation_scale", torch.tensor(OBSERVATION_SCALE))
        steps = phase_steps(config.heads, 2.0 * config.window)
        self.register_buffer("phase_steps", steps, persistent=False)

    @property
    def parts(self) -> list[SpikingBlock | DenseBlock]:
        """The blocks, as what they are."""
        return cast(list, list(self.blocks))

    @property
    def reads_spikes(self) -> bool:
        """Whether a last layer of spikes is read out."""
        return self.config.kind == "spiking" and self.config.readout == "spikes"

    @property
    def has_phase(self) -> bool:
        """Whether there is a phase code."""
        return self.config.kind == "spiking" and self.config.phase

    @property
    def layers(self) -> dict[str, tuple[int, int, int]]:
        """Neurons, fan-in and fan-out of each spiking layer, input side first."""
        layers = {name: sizes for block in self.parts for name, sizes in block.layers.items()}
        if self.reads_spikes:
            layers[LAST_LAYER] = (self.config.width, 1, ACTION_SIZE)
        return layers

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates a tick on real numbers: embedding, read-out, and the blocks' own."""
        readout = 0 if self.reads_spikes else self.readout.weight.numel()
        inputs = self.config.width * (
            OBSERVATION_SIZE
            + self.config.conditioned
            + ACTION_SIZE * int(self.config.sees_last_action)
        )
        return inputs + readout + sum(block.multiply_accumulates for block in self.parts)

    def initial_states(self, batch: int = 1) -> NamedStates:
        """Return the states of a batch after a reset: all zeros."""
        states = {
            name: state for x in self.parts for name, state in x.initial_states(batch).items()
        }
        if self.reads_spikes:
            states[f"membrane_{LAST_LAYER}"] = self.readout.weight.new_zeros(
                batch, self.config.width
            )
        if self.has_phase:
            states[POSITION] = torch.zeros(batch, 1, dtype=torch.long)
        return states

    def forward(
        self,
        observations: Tensor,
        last_actions: Tensor,
        returns: Tensor,
        states: NamedStates,
        slope: float = 10.0,
    ) -> tuple[Tensor, NamedStates, dict[str, Tensor]]:
        """Run a sequence and return (actions (T, batch, 4), last states, spikes per layer).

        A single tick, without gradient, has no first axis.

        Args:
            observations: (T, batch, 18).
            last_actions: (T, batch, 4), applied in the tick before each observation.
            returns: Return-to-go (T, batch, 1) as a mean reward a tick.
            states: NamedStates before the sequence, as `initial_states` gives them.
            slope: Slope k of the surrogate gradient.
        """
        features, following, spikes = self.features(
            observations, last_actions, returns, states, slope
        )
        return torch.tanh(self.readout(features)), following, spikes

    def features(
        self,
        observations: Tensor,
        last_actions: Tensor,
        returns: Tensor,
        states: NamedStates,
        slope: float = 10.0,
    ) -> tuple[Tensor, NamedStates, dict[str, Tensor]]:
        """Return what is read out (T, batch, width), last states and spikes; see `forward`."""
        following, spikes, code = {}, {}, None
        if self.has_phase:
            moments, ticks = states[POSITION], 1
            if observations.dim() == 3:
                ticks = len(observations)
                moments = moments + torch.arange(ticks)[:, None, None]
            code = phase_code(moments, torch.as_tensor(self.phase_steps)).to(observations)
            following[POSITION] = advance(states[POSITION], ticks)
        stream = self.embedding(self._tokens(observations, last_actions, returns))
        for block in self.parts:
            stream, own, fired = block(stream, states, code, slope)
            following |= own
            spikes |= fired
        if self.reads_spikes:
            name = f"membrane_{LAST_LAYER}"
            stream, following[name] = self.last(stream, states[name], slope)
            spikes[LAST_LAYER] = stream
        elif self.config.kind == "dense":
            stream = self.norm(stream)
        return stream, {name: following[name] for name in states}, spikes

    def set_thresholds(
        self, observations: Tensor, last_actions: Tensor, returns: Tensor, *, rate: float
    ) -> None:
        """Set every threshold by data, so that each layer begins at about some spike rate."""
        layers = [x for x in self.modules() if isinstance(x, Membranes)]
        for layer in layers:
            layer.wanted_rate = rate
        with torch.no_grad():
            self(observations, last_actions, returns, self.initial_states(observations.shape[1]))
        for layer in layers:
            layer.wanted_rate = None

    def _tokens(self, observations: Tensor, last_actions: Tensor, returns: Tensor) -> Tensor:
        returns = RETURN_SCALE * (returns - RETURN_MIDDLE)
        if not self.config.conditioned:
            returns = 0.0 * returns  # zeros_like would fix the batch in a graph
        if not self.config.sees_last_action:
            last_actions = 0.0 * last_actions
        scaled = observations * torch.as_tensor(self.observation_scale)
        return torch.cat([returns, scaled, last_actions], dim=-1)
