"""The configurations of policy networks: spiking, baseline, decision transformer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from snn_controller.vehicle import OBSERVATION_VERSION, OBSERVATIONS
from snn_training.common import Rules
from snn_training.neurons import (
    KernelName,
    MembraneConfig,
    NeuronName,
    NeuronOptions,
    ReadoutName,
    SynapseName,
)


def network_rules(network: NetworkConfig) -> Rules:
    """Return the rules of a network's shape and of how it is initialised."""
    sizes = network.hidden
    return {
        "network.hidden": (len(sizes) > 0 and min(sizes) > 0, "one or more positive numbers"),
        "network.control-rate": (1.0 <= network.control_rate <= 1000.0, "1 to 1000 Hz"),
        "network.min-time-constant": (
            0.0 < network.min_time_constant <= network.max_time_constant <= 100.0,
            "above 0 s and at most --network.max-time-constant, which is at most 100 s",
        ),
        "network.min-threshold": (
            0.0 < network.min_threshold <= network.max_threshold <= 100.0,
            "above 0 and at most --network.max-threshold, which is at most 100",
        ),
        "network.input-gain": (0.0 < network.input_gain <= 1000.0, "above 0 and at most 1000"),
        "network.readout-gain": (0.0 < network.readout_gain <= 1000.0, "above 0 and at most 1000"),
        "network.readout-time-constant": (
            0.0 < network.readout_time_constant <= 100.0,
            "above 0 and at most 100 s",
        ),
        "network.synapse-time-constant": (
            0.0 < network.synapse_time_constant <= 100.0,
            "above 0 and at most 100 s",
        ),
    }


Kind = Literal[NeuronName, "gru", "mlp", "mlp_history"]
# Brings each number of the observation to about unit size.
OBSERVATION_SCALE: tuple[float, ...] = tuple(OBSERVATIONS[OBSERVATION_VERSION].scale.tolist())


@dataclass(frozen=True)
class NetworkConfig(NeuronOptions):
    """Shape of the policy."""

    hidden: tuple[int, ...] = (256, 128)
    """Neurons of each LIF layer."""
    readout: ReadoutName = "spikes"
    """`spikes` reads the last layer's spikes; `leaky` low-passes them, one state an action."""
    control_rate: float = 100.0
    """Ticks a second."""
    min_time_constant: float = 0.010
    """Shortest initial membrane time constant in s."""
    max_time_constant: float = 0.300
    """Longest initial membrane time constant in s."""
    min_threshold: float = 0.02
    """Lowest initial threshold; a spread makes neurons answer to different levels."""
    max_threshold: float = 0.5
    """Highest initial threshold."""
    input_gain: float = 3.0
    """Scales the initial input currents."""
    readout_gain: float = 1.0
    """Scales the initial weights of the read-out; small ones leave less jitter."""
    readout_time_constant: float = 0.010
    """Initial time constant in s of the leaky read-out."""
    kind: Kind = "spiking"
    """Spiking network, or a baseline with the same layers: `gru` (the last layer remembers), `mlp`
    (no memory), `mlp_history` (no memory, but sees its last 32 actions)."""
    activation: Literal["relu", "tanh"] = "relu"
    """Of the baselines' layers; bounded ones keep gradients through long flights tame."""
    reset: Literal["soft", "hard"] = "soft"
    """A spike lowers the membrane by the threshold (soft) or zeroes it (hard), a tick later."""
    recurrent: bool = False
    """Spikes of a layer reach the layer itself a tick later."""
    action_feedback: bool = False
    """The first layer of a spiking network also sees the action that was flown a tick before: with
    what came of it, that tells of delay, lag and mass."""
    synapse: SynapseName = "instant"
    """`current`: input currents decay with learnt time constants (current-based LIF, CuBa)."""
    synapse_time_constant: float = 0.010
    """Initial time constant in s of the synaptic currents."""
    memory: bool = True
    """Without memory every tick starts from zero states: what does the state bring?"""
    kernel: KernelName = "torch"
    """What computes the recurrence in training: PyTorch, numba, or the fastest there is (`auto`).
    `c` is accepted from older runs and means numba."""


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the network."""

    kind: Literal["spiking", "dense"] = "spiking"
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
    readout: Literal["stream", "spikes"] = "stream"
    """The action is read from the residual `stream`, or from `spikes` of a last layer."""
    membranes: MembraneConfig = field(default_factory=MembraneConfig)
    """Constants of the neurons."""


def transformer_config(values: dict[str, Any]) -> TransformerConfig:
    """Return the configuration that `dataclasses.asdict` gave the values of."""
    return TransformerConfig(**{**values, "membranes": MembraneConfig(**values["membranes"])})
