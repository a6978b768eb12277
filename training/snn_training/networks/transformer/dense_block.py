"""A block of the dense decision transformer, to compare with: softmax attention, GELU, layer norms.

Same tokens, widths and window as the spiking one. The order of tokens is told by a learnt bias per
head and lag. Keys and values of the window are kept with a mark, so empty slots are masked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_training.networks.transformer.config import TransformerConfig
from snn_training.networks.transformer.spiking_block import States, band, heads_of

MASKED = -1e9


class DenseBlock(nn.Module):
    """Attention over the last tokens, then a perceptron, each adding to the stream."""

    layers: Mapping[str, tuple[int, int, int]] = MappingProxyType({})  # none spikes

    def __init__(
        self, config: TransformerConfig, name: str, generator: torch.Generator | None
    ) -> None:
        """Draw the weights from a generator; the name begins that of the state."""
        super().__init__()
        self.config, self.name = config, name
        width, hidden = config.width, config.hidden
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs = linear(width, 3 * width, generator)
        self.output = linear(width, width, generator)
        self.rise, self.fall = linear(width, hidden, generator), linear(hidden, width, generator)
        self.lag_bias = nn.Parameter(torch.zeros(config.heads, config.window))
        self.register_buffer("heads_of", heads_of(width, config.heads), persistent=False)

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates a tick with a cache; norms and softmax are left out."""
        matrices = (self.inputs, self.output, self.rise, self.fall)
        attention = 2 * self.config.window * self.config.width
        return sum(x.weight.numel() for x in matrices) + attention

    def initial_states(self, batch: int) -> States:
        """Return the states of a batch after a reset."""
        config = self.config
        shape = (batch, config.window - 1, 2 * config.width + 1)
        return {f"memory_{self.name}": self.lag_bias.new_zeros(shape)}

    def forward(
        self, stream: Tensor, states: States, code: Tensor | None, slope: float
    ) -> tuple[Tensor, States, dict[str, Tensor]]:
        """Return the stream, next states and no spikes; see `SpikingBlock`."""
        found, memory = self._attend(
            self.inputs(self.attention_norm(stream)), states[f"memory_{self.name}"]
        )
        stream = stream + self.output(found)
        stream = stream + self.fall(
            functional.gelu(self.rise(self.norm(stream)), approximate="tanh")
        )
        return stream, {f"memory_{self.name}": memory}, {}

    def _attend(self, projected: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        width, heads, window = self.config.width, self.config.heads, self.config.window
        if projected.dim() == 2:
            return self._attend_tick(projected, memory)
        ticks = len(projected)
        queries, fresh = projected.transpose(0, 1).split([width, 2 * width], dim=-1)
        memory = torch.cat([memory, functional.pad(fresh, (0, 1), value=1.0)], dim=1)
        keys, values = (
            x.unflatten(-1, (heads, -1)).transpose(1, 2)
            for x in memory[..., : 2 * width].chunk(2, dim=-1)
        )
        queries = queries.unflatten(-1, (heads, -1)).transpose(1, 2)
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(width / heads)
        scores = scores + self._bias(ticks) + MASKED * (1.0 - memory[:, None, None, :, -1])
        scores = scores + MASKED * (1.0 - band(ticks, window).to(scores))
        found = torch.softmax(scores, dim=-1) @ values
        return found.permute(2, 0, 1, 3).flatten(-2), memory[:, -(window - 1) :]

    def _attend_tick(self, projected: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Do the same for one tick (batch, 3 width), without reshapes."""
        width, member = self.config.width, torch.as_tensor(self.heads_of)
        queries, fresh = projected.split([width, 2 * width], dim=-1)
        fresh = functional.pad(fresh, (0, 1), value=1.0)
        memory = torch.cat([memory, fresh[:, None]], dim=1)
        keys, values, present = memory.split([width, width, 1], dim=-1)
        scores = (keys * queries[:, None]) @ member / math.sqrt(width / self.config.heads)
        scores = scores + self.lag_bias.flip(-1).T + MASKED * (1.0 - present)
        shares = torch.softmax(scores, dim=1)  # (batch, window, heads)
        return ((shares @ member.T) * values).sum(dim=1), memory[:, 1:]

    def _bias(self, ticks: int) -> Tensor:
        """Return the bias (heads, ticks, window - 1 + ticks) by lag."""
        window = self.config.window
        lag = torch.arange(ticks)[:, None] + window - 1 - torch.arange(window - 1 + ticks)
        return self.lag_bias[:, lag.clamp(0, window - 1)]


def linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """Return a linear layer whose weights come from a generator; biases are zero."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        bound = inputs**-0.5
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer
