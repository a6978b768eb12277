"""Networks without spikes to compare with: a gated recurrent unit and perceptrons.

They run sequences and ticks through the same methods as `networks.SpikingPolicy`; the slope that
those take means nothing here, and the spikes that they return are none.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE
from snn_training.networks.config import OBSERVATION_SCALE, NetworkConfig

HISTORY = 32  # actions that the perceptron with history sees
States = tuple[Tensor, ...]


class Baseline(nn.Module):
    """What the baselines share: layers of rectifiers or tanh, and a read-out through tanh."""

    layer_names: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()

    def __init__(
        self, config: NetworkConfig, sizes: tuple[int, ...], generator: torch.Generator | None
    ) -> None:
        """Initialise the layers between the given sizes, and the read-out of the last hidden."""
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(_linear(*pair, generator) for pair in pairwise(sizes))
        self.readout = _linear(config.hidden[-1], ACTION_SIZE, generator)
        self.register_buffer("observation_scale", torch.tensor(OBSERVATION_SCALE))

    def initial_states(self, batch: int = 1) -> States:
        """Return the states (batch, size) after a reset."""
        return tuple(self.readout.bias.new_zeros(batch, size) for size in self.state_sizes)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Sizes of the states."""
        return ()

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates a tick."""
        return sum(x.numel() for x in self.parameters() if x.dim() == 2)

    def time_constants(self) -> list[nn.Parameter]:
        """Return the parameters that want a larger step: none."""
        return []

    def encode(self, observations: Tensor) -> Tensor:
        """Return the output of the layers, of any leading shape."""
        activation = torch.relu if self.config.activation == "relu" else torch.tanh
        for layer in self.layers:
            observations = activation(layer(observations))
        return observations

    def tick(self, encoded: Tensor, states: States) -> tuple[Tensor, States]:
        """Return action (batch, 4) and next states; encoded is what `prepare` gave for the tick."""
        return torch.tanh(self.readout(encoded)), states

    def prepare(self, observations: Tensor) -> Tensor:
        """Do what needs no state, for all ticks at once (..., 18)."""
        return self.encode(observations * torch.as_tensor(self.observation_scale))

    def forward(
        self, observations: Tensor, states: States, slope: float, restarts: Tensor | None = None
    ) -> tuple[Tensor, States, tuple[Tensor, ...]]:
        """Run a sequence (T, batch, 18) and return (actions, last states, no spikes).

        Args:
            observations: (T, batch, 18).
            states: States before the sequence, as `initial_states` gives them.
            slope: Means nothing here.
            restarts: True where all states are zeroed before that tick (T, batch), or None.
        """
        actions = []
        for tick, encoded in enumerate(self.prepare(observations).unbind()):
            if restarts is not None:
                states = tuple(x.masked_fill(restarts[tick][:, None], 0.0) for x in states)
            action, states = self.tick(encoded, states)
            actions.append(action)
        return torch.stack(actions), states, ()

    def set_applied_action(self, states: States, flown: Any) -> States:
        """Return the states that fit what was flown (batch, 4) instead of the last action."""
        return states

    def stepper(self) -> Callable:
        """Return the tick: (observation, states) -> (action, next states, no spikes)."""

        def step(observation: Tensor, states: States) -> tuple[Tensor, States, tuple[Tensor, ...]]:
            return *self.tick(self.prepare(observation), states), ()

        return step


class Perceptron(Baseline):
    """A multi-layer perceptron without memory."""

    def __init__(self, config: NetworkConfig, generator: torch.Generator | None = None) -> None:
        """Initialise weights from a generator."""
        super().__init__(config, (OBSERVATION_SIZE, *config.hidden), generator)

    def forward(
        self, observations: Tensor, states: States, slope: float, restarts: Tensor | None = None
    ) -> tuple[Tensor, States, tuple[Tensor, ...]]:
        """Run a sequence at once: nothing is remembered; see `Baseline.forward`."""
        return *self.tick(self.prepare(observations), states), ()


class HistoryPerceptron(Baseline):
    """A multi-layer perceptron that also sees its own last 32 actions, oldest first.

    Gradients flow through the actions that it sees; without, what is learnt through the drone
    diverges.
    """

    state_names = ("history",)

    def __init__(self, config: NetworkConfig, generator: torch.Generator | None = None) -> None:
        """Initialise weights from a generator."""
        inputs = OBSERVATION_SIZE + HISTORY * ACTION_SIZE
        super().__init__(config, (inputs, *config.hidden), generator)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Sizes of the states."""
        return (HISTORY * ACTION_SIZE,)

    def prepare(self, observations: Tensor) -> Tensor:
        """Scale the observations."""
        return observations * torch.as_tensor(self.observation_scale)

    def set_applied_action(self, states: States, flown: Any) -> States:
        """Return the history (batch, 128), of either array type, with what was flown at its end."""
        states[0][:, -ACTION_SIZE:] = flown
        return states

    def follow(self, observations: Tensor, flown: Tensor, restarts: Tensor) -> Tensor:
        """Return the actions (T, batch, 4) where what was flown (T, batch, 4) makes the history."""
        (history,) = self.initial_states(observations.shape[1])
        histories = []
        for tick, action in enumerate(flown.unbind()):
            history = history.masked_fill(restarts[tick][:, None], 0.0)
            histories.append(history)
            history = torch.cat([history[:, ACTION_SIZE:], action], dim=-1)
        inputs = torch.cat([self.prepare(observations), torch.stack(histories)], dim=-1)
        return torch.tanh(self.readout(self.encode(inputs)))

    def tick(self, encoded: Tensor, states: States) -> tuple[Tensor, States]:
        """Return action and next history."""
        (history,) = states
        action = torch.tanh(self.readout(self.encode(torch.cat([encoded, history], dim=-1))))
        return action, (torch.cat([history[:, ACTION_SIZE:], action], dim=-1),)


class GatedRecurrence(Baseline):
    """Rectifiers in front, a gated recurrent unit as the last hidden layer."""

    state_names = ("memory",)

    def __init__(self, config: NetworkConfig, generator: torch.Generator | None = None) -> None:
        """Initialise weights from a generator."""
        sizes = (OBSERVATION_SIZE, *config.hidden)
        super().__init__(config, sizes[:-1], generator)
        self.gate_input = _linear(sizes[-2], 3 * sizes[-1], generator)
        self.gate_memory = _linear(sizes[-1], 3 * sizes[-1], generator)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Sizes of the states."""
        return (self.config.hidden[-1],)

    def prepare(self, observations: Tensor) -> Tensor:
        """Return what the layers and the gates make of the observations."""
        return self.gate_input(super().prepare(observations))

    def tick(self, encoded: Tensor, states: States) -> tuple[Tensor, States]:
        """Return action and next memory, by the equations of Cho et al., 2014."""
        (memory,) = states
        reset, update, new = encoded.chunk(3, dim=-1)
        reset_memory, update_memory, new_memory = self.gate_memory(memory).chunk(3, dim=-1)
        update = torch.sigmoid(update + update_memory)
        candidate = torch.tanh(new + torch.sigmoid(reset + reset_memory) * new_memory)
        memory = update * memory + (1.0 - update) * candidate
        return torch.tanh(self.readout(memory)), (memory,)


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    bound = inputs**-0.5
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
