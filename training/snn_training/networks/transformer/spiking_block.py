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

from snn_training.networks.transformer.config import TransformerConfig
from snn_training.neurons import Membranes

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
        """Return the stream, next states and spikes of each layer.

        Args:
            stream: (T, batch, width), or (batch, width) of a single tick without gradient.
            states: As `initial_states` gives them.
            code: Phase code (..., 2 heads), None without.
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
