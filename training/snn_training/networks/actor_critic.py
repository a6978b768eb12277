"""Networks of TD3 on 146 numbers: the guide's actor and two critics, as plain layers."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from snn_controller.vehicle import ACTION_SIZE
from snn_sim.task import GUIDE_INPUT_SIZE, HISTORY_SIZE
from snn_training.networks.config import OBSERVATION_SCALE

INPUT_SCALE = (*OBSERVATION_SCALE, *(1.0,) * HISTORY_SIZE)  # brings inputs to about unit size
FIRST_ACTION_SIZE = 0.1  # factor on the actor's last layer: a new policy starts near mid throttle


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


def good_sizes(sizes: tuple[int, ...]) -> bool:
    """Whether these are one to eight layers of 1 to 4096 neurons."""
    return 1 <= len(sizes) <= 8 and min(sizes) >= 1 and max(sizes) <= 4096
