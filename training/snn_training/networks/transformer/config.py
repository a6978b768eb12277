"""The configuration of a decision transformer, spiking or dense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from snn_training.neurons import MembraneConfig

Kind = Literal["spiking", "dense"]
Readout = Literal["stream", "spikes"]


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the network."""

    kind: Kind = "spiking"
    """`spiking`, or a `dense` one of the same size: softmax attention, GELU, layer norms."""
    width: int = 128
    """Numbers of a token (d)."""
    layers: int = 2
    """Blocks of attention and perceptron."""
    heads: int = 4
    """Heads of attention."""
    hidden: int = 256
    """Neurons of a block's perceptron."""
    window: int = 20
    """Ticks that attention looks back, the present one included."""
    control_rate: float = 100.0
    """Ticks a second."""
    conditioned: bool = True
    """Tokens hold the return-to-go; without it, this is behaviour cloning."""
    sees_last_action: bool = True
    """Tokens hold the action that was applied a tick before."""
    phase: bool = True
    """Phase-shifted positional spike code: spiking attention knows the order of tokens."""
    routing: bool = True
    """Dendritic routing: a gate per head and token, from what the heads found."""
    readout: Readout = "stream"
    """The action is read from the residual `stream`, or from `spikes` of a last layer."""
    membranes: MembraneConfig = field(default_factory=MembraneConfig)
    """Constants of the neurons."""


def config_from(values: dict[str, Any]) -> TransformerConfig:
    """Return the configuration that `dataclasses.asdict` gave the values of."""
    return TransformerConfig(**{**values, "membranes": MembraneConfig(**values["membranes"])})
