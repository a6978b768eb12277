"""The blocks of a decision transformer: attention and perceptron, spiking or dense.

The residual stream x holds real numbers. In the spiking block every matrix multiplies spikes, so
its products are additions. Attention has no softmax: q, k and v are spikes, (q k^T) v counts
coincidences within the window, and the counts are the current of the next neurons. An empty slot of
the window holds no spikes and so adds nothing.

The dense block is there to compare with: softmax attention, GELU, layer norms, with the same
tokens, widths and window. The order of tokens is told by a learnt bias per head and lag. Keys and
values of the window are kept with a mark, so empty slots are masked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_training.networks.config import TransformerConfig
from snn_training.neurons import Membranes

NamedStates = dict[str, Tensor]
WEIGHT_GAIN = 4.0  # a tenth of the inputs spike, so the currents of a sum are about one
MASKED = -1e9
TURN = 65536
SHORTEST_PERIOD = 4.0  # ticks; Nyquist is 2
CODES_PER_HEAD = 2


def phase_steps(heads: int, longest_period: float) -> Tensor:
    """Return how far the phase of each code (2 heads,) goes in a tick, in 1 / 65536 of a turn."""
    share = torch.arange(heads) / max(heads - 1, 1)
    periods = SHORTEST_PERIOD * (longest_period / SHORTEST_PERIOD) ** share
    return torch.round(TURN / periods).long().repeat_interleave(CODES_PER_HEAD)


def phase_code(position: Tensor, steps: Tensor) -> Tensor:
    """Return the code (..., 2 heads) in {0, 1} of tokens with numbers (..., 1), integers."""
    quarter = TURN // 4 * torch.remainder(torch.arange(len(steps)), CODES_PER_HEAD)
    return (torch.remainder(position * steps + quarter, TURN) < TURN // 2).float()


def advance(position: Tensor, ticks: int) -> Tensor:
    """Return the wrapped numbers of tokens some ticks later."""
    return torch.remainder(position + ticks, TURN)


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
            # from each code to queries and keys; a head sees its own codes only
            shape = (CODES_PER_HEAD * heads, 2 * width)
            self.phase = nn.Parameter(torch.randn(shape, generator=generator) * 0.5)
            own = heads_of(width, heads).T.repeat_interleave(CODES_PER_HEAD, dim=0).repeat(1, 2)
            self.register_buffer("own_codes", own, persistent=False)
        if config.routing:
            self.router = nn.Parameter(torch.randn(heads, heads, generator=generator) * 0.1)
            self.router_bias = nn.Parameter(torch.full((heads,), 2.0))
        self.register_buffer("heads_of", heads_of(width, heads), persistent=False)
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

    def initial_states(self, batch: int) -> NamedStates:
        """Return the states of a batch after a reset."""
        like, config = self.inputs_bias, self.config
        states = {
            f"membrane_{name}": like.new_zeros(batch, sizes[0])
            for name, sizes in self.layers.items()
        }
        memory = like.new_zeros(batch, config.window - 1, 2 * config.width)
        return {**states, f"memory_{self.name}": memory}

    def forward(
        self, stream: Tensor, states: NamedStates, code: Tensor | None, slope: float
    ) -> tuple[Tensor, NamedStates, dict[str, Tensor]]:
        """Return the stream, next states and spikes of each layer.

        Args:
            stream: (T, batch, width), or (batch, width) of a single tick without gradient.
            states: As `initial_states` gives them.
            code: Phase code (..., 2 heads), None without.
            slope: Slope k of the surrogate gradient.
        """
        following: NamedStates = {}
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
        """Return what the code (..., 2 heads) adds to queries, keys and (nothing) to values."""
        weights = self.phase * torch.as_tensor(self.own_codes)
        return code @ functional.pad(weights, (0, self.config.width))

    def _attend(self, fired: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return counts (..., width), gated, and the next memory.

        Args:
            fired: Queries, keys and values (T, batch, 3 width), or (batch, 3 width) of one tick.
            memory: Keys and values (batch, window - 1, 2 width) of earlier ticks.
        """
        width, heads, window = self.config.width, self.config.heads, self.config.window
        if fired.dim() == 2:
            queries, fresh = fired.split([width, 2 * width], dim=-1)
            memory = torch.cat([memory, fresh[:, None]], dim=1)
            keys, values = memory.chunk(2, dim=-1)
            member = torch.as_tensor(self.heads_of)
            counts = (keys * queries[:, None]) @ member  # (batch, window, heads)
            return self._route(((counts @ member.T) * values).sum(dim=1)), memory[:, 1:]
        queries, fresh = fired.transpose(0, 1).split([width, 2 * width], dim=-1)
        memory = torch.cat([memory, fresh], dim=1)
        keys, values = (_split_heads(x, heads) for x in memory.chunk(2, dim=-1))
        counts = _split_heads(queries, heads) @ keys.transpose(-1, -2)
        counts = counts * band(len(fired), window).to(counts)
        found = (counts @ values).permute(2, 0, 1, 3).flatten(-2)
        return self._route(found), memory[:, -(window - 1) :]

    def _route(self, found: Tensor) -> Tensor:
        """Return what the heads found (..., width), each scaled by its gate."""
        if not self.config.routing:
            return found
        return found * (self.gates(found) @ torch.as_tensor(self.heads_of).T)

    def gates(self, found: Tensor) -> Tensor:
        """Return the gate (..., heads) in (0, 1) of each head, from what all found (..., width)."""
        means = found @ torch.as_tensor(self.heads_of) * (self.config.heads / self.config.width)
        return torch.sigmoid(means @ self.router + self.router_bias)


def heads_of(width: int, heads: int) -> Tensor:
    """Return 1 where a number of a token (width, heads) belongs to a head.

    Sums over heads by this matrix need no reshape, so the graph of a tick takes any batch.
    """
    return torch.eye(heads).repeat_interleave(width // heads, dim=0)


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

    def initial_states(self, batch: int) -> NamedStates:
        """Return the states of a batch after a reset."""
        config = self.config
        shape = (batch, config.window - 1, 2 * config.width + 1)
        return {f"memory_{self.name}": self.lag_bias.new_zeros(shape)}

    def forward(
        self, stream: Tensor, states: NamedStates, code: Tensor | None, slope: float
    ) -> tuple[Tensor, NamedStates, dict[str, Tensor]]:
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
