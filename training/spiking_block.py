"""A block of the spiking decision transformer: attention and perceptron, both driven by spikes.

The residual stream x holds real numbers; every matrix of the block multiplies spikes, so its
products are additions. Attention has no softmax: q, k and v are spikes, (q k^T) v counts
coincidences within the window, and the counts are the current of the next neurons. An empty slot of
the window holds no spikes and so adds nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.membrane import Membranes
from training.phase_code import CODES_PER_HEAD
from training.transformer_config import TransformerConfig

States = dict[str, Tensor]
WEIGHT_GAIN = 4.0  # a tenth of the inputs spike, so the currents of a sum are about one


class SpikingBlock(nn.Module):
    """Attention over the last tokens, then a perceptron, each adding to the stream."""

    def __init__(
        self, config: TransformerConfig, name: str, generator: torch.Generator | None
    ) -> None:
        """Draw the weights from a generator; the name begins those of layers and states."""
        super().__init__()
        self.config, self.name = config, name
        width, hidden, heads = config.width, config.hidden, config.heads
        self.inputs = _weight(width, 3 * width, generator)
        self.inputs_bias = nn.Parameter(torch.zeros(3 * width))
        self.output = _weight(width, width, generator)
        self.rise = _weight(width, hidden, generator)
        self.rise_bias = nn.Parameter(torch.zeros(hidden))
        self.fall = _weight(hidden, width, generator)
        if config.phase:
            # of each head, from its two codes to its queries and keys
            shape = (heads, CODES_PER_HEAD, 2 * width // heads)
            self.phase = nn.Parameter(torch.randn(shape, generator=generator) * 0.5)
        if config.routing:
            self.router = nn.Parameter(torch.randn(heads, heads, generator=generator) * 0.1)
            self.router_bias = nn.Parameter(torch.full((heads,), 2.0))
        sizes = {"entry": width, "heads": 3 * width, "mix": width, "rise": width, "hidden": hidden}
        self.membranes = nn.ModuleDict(
            {
                part: Membranes(
                    size, config.membranes, period=1.0 / config.control_rate, generator=generator
                )
                for part, size in sizes.items()
            }
        )

    @property
    def layers(self) -> dict[str, tuple[int, int, int]]:
        """Return neurons, fan-in and fan-out of each spiking layer.

        A spike of a query meets the keys of a window; those of keys and values are used in as many
        ticks as they stay in it.
        """
        config, width = self.config, self.config.width
        window, hidden = config.window, config.hidden
        parts = {
            "entry": (width, 1, 3 * width),
            "heads": (3 * width, width, window),
            "mix": (width, window, width),
            "rise": (width, 1, hidden),
            "hidden": (hidden, width, width),
        }
        return {f"{self.name}_{part}": sizes for part, sizes in parts.items()}

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates a tick on what is not a spike, or not counted as one.

        Phase codes are spikes, but of no layer; they are charged as if they were numbers.
        """
        config = self.config
        phase = CODES_PER_HEAD * 2 * config.width if config.phase else 0
        router = config.heads**2 + config.width if config.routing else 0
        return phase + router

    def initial_states(self, batch: int) -> States:
        """Return the states of a batch after a reset."""
        like, config = self.inputs_bias, self.config
        states = {
            f"membrane_{name}": like.new_zeros(batch, sizes[0])
            for name, sizes in self.layers.items()
        }
        memory = like.new_zeros(batch, config.window - 1, 2 * config.width)
        return {**states, f"memory_{self.name}": memory}

    def forward(
        self, stream: Tensor, states: States, code: Tensor | None, slope: float
    ) -> tuple[Tensor, States, dict[str, Tensor]]:
        """Return the stream (T, batch, width), next states and spikes of each layer.

        Args:
            stream: (T, batch, width).
            states: As `initial_states` gives them.
            code: Phase code (T, batch, heads, 2), None without.
            slope: Slope k of the surrogate gradient.
        """
        following: States = {}
        spikes: dict[str, Tensor] = {}

        def fire(part: str, current: Tensor) -> Tensor:
            name = f"{self.name}_{part}"
            fired, membrane = self.membranes[part](current, states[f"membrane_{name}"], slope)
            following[f"membrane_{name}"], spikes[name] = membrane, fired
            return fired

        current = functional.linear(fire("entry", stream), self.inputs.T, self.inputs_bias)
        if code is not None:
            current = current + self._phase_current(code)
        found, memory = self._attend(fire("heads", current), states[f"memory_{self.name}"])
        following[f"memory_{self.name}"] = memory
        stream = stream + functional.linear(fire("mix", found), self.output.T)
        current = functional.linear(fire("rise", stream), self.rise.T, self.rise_bias)
        stream = stream + functional.linear(fire("hidden", current), self.fall.T)
        return stream, following, spikes

    def _phase_current(self, code: Tensor) -> Tensor:
        """Return what the code (T, batch, heads, 2) adds to queries, keys and (nothing) values."""
        driven = torch.einsum("...hc,hcn->...hn", code, self.phase)
        queries, keys = driven.chunk(2, dim=-1)
        return torch.cat(
            [queries.flatten(-2), keys.flatten(-2), torch.zeros_like(queries).flatten(-2)], dim=-1
        )

    def _attend(self, fired: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return counts (T, batch, width), gated, and the next memory.

        Args:
            fired: Queries, keys and values (T, batch, 3 width).
            memory: Keys and values (batch, window - 1, 2 width) of earlier ticks.
        """
        width, heads, window = self.config.width, self.config.heads, self.config.window
        queries, fresh = fired.transpose(0, 1).split([width, 2 * width], dim=-1)
        memory = torch.cat([memory, fresh], dim=1)
        keys, values = (_split_heads(x, heads) for x in memory.chunk(2, dim=-1))
        counts = _split_heads(queries, heads) @ keys.transpose(-1, -2)
        if len(fired) > 1:
            counts = counts * band(len(fired), window).to(counts)
        found = (counts @ values).permute(2, 0, 1, 3)  # (T, batch, heads, width / heads)
        if self.config.routing:
            found = found * self._gates(found)[..., None]
        return found.flatten(-2), memory[:, -(window - 1) :]

    def _gates(self, found: Tensor) -> Tensor:
        """Return the gate (T, batch, heads) in (0, 1) of each head, from what all have found."""
        means = found.mean(dim=-1)
        return torch.sigmoid(means @ self.router + self.router_bias)


def band(ticks: int, window: int) -> Tensor:
    """Return 1 where tick i (ticks, window - 1 + ticks) may see slot j: itself and what is before.

    Slot j holds tick j - (window - 1); the first slots are the memory.
    """
    lag = torch.arange(ticks)[:, None] + window - 1 - torch.arange(window - 1 + ticks)
    return ((lag >= 0) & (lag < window)).float()


def _split_heads(values: Tensor, heads: int) -> Tensor:
    """Return (batch, ticks, width) as (batch, heads, ticks, width / heads)."""
    return values.unflatten(-1, (heads, -1)).transpose(1, 2)


def _weight(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Parameter:
    bound = WEIGHT_GAIN / math.sqrt(inputs)
    return nn.Parameter((2.0 * torch.rand(inputs, outputs, generator=generator) - 1.0) * bound)
