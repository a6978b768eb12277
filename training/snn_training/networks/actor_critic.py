"""Networks of TD3 on 146 numbers: the guide's actor, dense or spiking, and two critics.

The spiking actor is the network of the published slope study: it answers each input within a few
steps and remembers nothing afterwards. The same input at every step, LIF layers from rest, the last
layer's spikes summed over the steps and read out linearly. Decays and thresholds are learnt, one a
neuron, and begin uniform in [0, 1]; a decay is held there.

Source: Van den Berghe et al., NeurIPS 2025, sections 3.3 and 5.1.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from snn_controller.vehicle import ACTION_SIZE
from snn_sim.task import GUIDE_INPUT_SIZE, HISTORY_SIZE
from snn_training.networks.config import OBSERVATION_SCALE
from snn_training.neurons import LIF, MAX_SLOPE, heaviside

INPUT_SCALE = (*OBSERVATION_SCALE, *(1.0,) * HISTORY_SIZE)  # brings inputs to about unit size
FIRST_ACTION_SIZE = 0.1  # factor on the actor's last layer: a new policy starts near mid throttle
NEURON = LIF(hard=False)


class GuideActor(nn.Module):
    """Inputs (n, 146) to motor actions (n, 4) in [-1, 1]."""

    scale: Tensor

    def __init__(self, hidden: tuple[int, ...], generator: torch.Generator) -> None:
        """Make the layers, initialised from the generator."""
        super().__init__()
        self.hidden, self.slope = hidden, 1.0  # no surrogate gradient here: means nothing
        self.layers = make_layers((GUIDE_INPUT_SIZE, *hidden, ACTION_SIZE), generator)
        with torch.no_grad():
            list(self.layers.parameters())[-2].mul_(FIRST_ACTION_SIZE)
        self.register_buffer("scale", torch.tensor(INPUT_SCALE))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the actions."""
        return torch.tanh(self.layers(inputs * self.scale))


class TwinCritic(nn.Module):
    """Two independent estimates of the value of an action."""

    scale: Tensor

    def __init__(
        self, hidden: tuple[int, ...], generator: torch.Generator, *, privileged: int = 0
    ) -> None:
        """Make the layers, initialised from the generator; they see so many more inputs."""
        super().__init__()
        sizes = (GUIDE_INPUT_SIZE + privileged + ACTION_SIZE, *hidden, 1)
        self.first, self.second = make_layers(sizes, generator), make_layers(sizes, generator)
        self.register_buffer("scale", torch.tensor((*INPUT_SCALE, *(1.0,) * privileged)))

    def forward(self, inputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return both values (n,) of actions (n, 4) taken at inputs (n, 146)."""
        joined = torch.cat([inputs * self.scale, actions], dim=1)
        return self.first(joined)[:, 0], self.second(joined)[:, 0]

    @torch.no_grad()
    def expect(self, value: float) -> None:
        """Shift both estimates, so that learning starts from about this value."""
        for layers in (self.first, self.second):
            list(layers.parameters())[-1].add_(value)

    def first_value(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """Return the first estimate (n,) alone, which is what the actor climbs."""
        return self.first(torch.cat([inputs * self.scale, actions], dim=1))[:, 0]


def make_layers(sizes: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    """Return linear layers of these sizes with rectifiers in between."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [_linear(inputs, outputs, generator), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    bound = inputs**-0.5
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.uniform_(-bound, bound, generator=generator)
    return layer


class SteppedNetwork(nn.Module):
    """Inputs (n, inputs) to outputs (n, outputs) through LIF layers."""

    def __init__(self, sizes: tuple[int, ...], steps: int, generator: torch.Generator) -> None:
        """Draw weights, decays and thresholds from a generator.

        Args:
            sizes: Inputs, neurons of each LIF layer, outputs.
            steps: Steps that the network has for an answer.
            generator: Source of randomness.
        """
        super().__init__()
        self.steps = steps
        self.layers = nn.ModuleList(make_layers(pair, generator)[0] for pair in pairwise(sizes))
        self.betas = nn.ParameterList(torch.rand(n, generator=generator) for n in sizes[1:-1])
        self.thresholds = nn.ParameterList(torch.rand(n, generator=generator) for n in sizes[1:-1])

    def spikes_and_currents(
        self, inputs: Tensor, slope: float
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return spikes and input currents (steps, n, neurons) of every LIF layer.

        Args:
            inputs: (n, inputs).
            slope: Slope k of the surrogate gradient.
        """
        fired: list[Tensor] = []
        currents: list[Tensor] = []
        current = self.layers[0](inputs).expand(self.steps, -1, -1)
        for index, (beta, threshold) in enumerate(zip(self.betas, self.thresholds, strict=True)):
            if index:
                current = self.layers[index](fired[-1])
            rest, decay = current.new_zeros(current.shape[1:]), beta.clamp(0.0, 1.0)
            spikes, _ = NEURON.sequence(current, (rest,), (decay, threshold), slope)
            currents.append(current)
            fired.append(spikes)
        return fired, currents

    @torch.no_grad()
    def margin(self, inputs: Tensor) -> float:
        """Return how near any membrane comes to its threshold while the network answers."""
        nearest, signal = math.inf, inputs.expand(self.steps, -1, -1)
        for layer, beta, threshold in zip(self.layers, self.betas, self.thresholds, strict=False):
            constants = beta.clamp(0.0, 1.0), threshold
            states, fired = (torch.zeros_like(threshold),), []
            for current in layer(signal):
                spikes, states = NEURON.step(current, states, constants, heaviside)
                nearest = min(nearest, float((states[0] - threshold).abs().min()))
                fired.append(spikes)
            signal = torch.stack(fired)
        return nearest

    def forward(self, inputs: Tensor, slope: float = MAX_SLOPE) -> Tensor:
        """Return the outputs (n, outputs); the slope matters to their gradient only."""
        return self.layers[-1](self.spikes_and_currents(inputs, slope)[0][-1].sum(dim=0))


class SpikingGuideActor(SteppedNetwork):
    """Inputs (n, 146) to motor actions (n, 4) in [-1, 1]: a spiking `GuideActor`."""

    scale: Tensor

    def __init__(self, hidden: tuple[int, ...], steps: int, generator: torch.Generator) -> None:
        """Draw the network; its first actions are near mid throttle."""
        super().__init__((GUIDE_INPUT_SIZE, *hidden, ACTION_SIZE), steps, generator)
        self.hidden, self.slope = hidden, MAX_SLOPE  # the slope is whoever trains it to set
        with torch.no_grad():
            next(self.layers[-1].parameters()).mul_(FIRST_ACTION_SIZE)
        self.register_buffer("scale", torch.tensor(INPUT_SCALE))

    def forward(self, inputs: Tensor, slope: float | None = None) -> Tensor:
        """Return the actions; `slope` is the actor's own where none is given."""
        slope = self.slope if slope is None else slope
        return torch.tanh(super().forward(inputs * self.scale, slope))


ActorKind = Literal["perceptron", "spiking"]
ActorOfGuide: TypeAlias = GuideActor | SpikingGuideActor


def make_actor(
    kind: ActorKind, hidden: tuple[int, ...], steps: int, generator: torch.Generator
) -> ActorOfGuide:
    """Return an actor with weights drawn from a generator; only a spiking one has steps."""
    if kind == "spiking":
        return SpikingGuideActor(hidden, steps, generator)
    return GuideActor(hidden, generator)
