"""A spiking network that answers each input within a few steps and remembers nothing afterwards.

The network of the published slope study: the same input at every step, LIF layers from rest, the
last layer's spikes summed over the steps and read out linearly. Decays and thresholds are learnt,
one a neuron, and begin uniform in [0, 1]; a decay is held there.

Source: Van den Berghe et al., NeurIPS 2025, sections 3.3 and 5.1.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from snn_controller.vehicle import ACTION_SIZE
from snn_sim.task import GUIDE_INPUT_SIZE
from snn_training.networks.actor_critic import (
    FIRST_ACTION_SIZE,
    INPUT_SCALE,
    GuideActor,
    make_layers,
)
from snn_training.neurons import MAX_SLOPE, LayerWeights, LIFSequence, heaviside, lif_step


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
            spikes, _ = LIFSequence.apply(current, rest, decay, threshold, slope)  # type: ignore[misc]
            currents.append(current)
            fired.append(spikes)
        return fired, currents

    @torch.no_grad()
    def margin(self, inputs: Tensor) -> float:
        """Return how near any membrane comes to its threshold while the network answers."""
        nearest, signal = math.inf, inputs.expand(self.steps, -1, -1)
        for layer, beta, threshold in zip(self.layers, self.betas, self.thresholds, strict=False):
            weights = LayerWeights(None, None, beta.clamp(0.0, 1.0), threshold)
            membrane, fired = torch.zeros_like(threshold), []
            for current in layer(signal):
                spikes, membrane = lif_step(current, membrane, weights, heaviside)
                nearest = min(nearest, float((membrane - threshold).abs().min()))
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
