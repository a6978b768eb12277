"""The configurations of policy networks: spiking, baseline, decision transformer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from snn_controller.vehicle import OBSERVATION_VERSION, OBSERVATIONS
from snn_training.common import Rules, bounded, checked
from snn_training.neurons import (
    KernelName,
    MembraneConfig,
    NeuronName,
    NeuronOptions,
    ReadoutName,
    SynapseName,
)

Kind = Literal[NeuronName, "gru", "mlp", "mlp_history"]
# Brings each number of the observation to about unit size.
OBSERVATION_SCALE: tuple[float, ...] = tuple(OBSERVATIONS[OBSERVATION_VERSION].scale.tolist())


@dataclass(frozen=True)
class NetworkConfig(NeuronOptions):
    """Shape of the policy."""

    hidden: tuple[int, ...] = checked(
        (256, 128),
        lambda sizes: len(sizes) > 0 and min(sizes) > 0,
        "one or more positive numbers",
    )
    """Neurons of each layer."""
    readout: ReadoutName = "spikes"
    """`spikes` reads the last layer's spikes; `leaky` low-passes them, one state an action."""
    control_rate: float = bounded(100.0, 1, 1000, note=" Hz")
    """Ticks a second."""
    min_time_constant: float = bounded(0.010, above=0, note=" s")
    """Shortest initial membrane time constant in s."""
    max_time_constant: float = bounded(0.300, above=0, at_most=100, note=" s")
    """Longest initial membrane time constant in s."""
    min_threshold: float = bounded(0.02, above=0)
    """Lowest initial threshold; a spread makes neurons answer to different levels."""
    max_threshold: float = bounded(0.5, above=0, at_most=100)
    """Highest initial threshold."""
    input_gain: float = bounded(3.0, above=0, at_most=1000)
    """Scales the initial input currents."""
    readout_gain: float = bounded(1.0, above=0, at_most=1000)
    """Scales the initial weights of the read-out; small ones leave less jitter."""
    readout_time_constant: float = bounded(0.010, above=0, at_most=100, note=" s")
    """Initial time constant in s of the leaky read-out."""
    kind: Kind = "spiking"
    """A network of LIF neurons (`spiking`) or of another neuron model, or a baseline with the same
    layers: `gru` (the last layer remembers), `mlp` (no memory), `mlp_history` (no memory, but sees
    its last 32 actions)."""
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
    synapse_time_constant: float = bounded(0.010, above=0, at_most=100, note=" s")
    """Initial time constant in s of the synaptic currents."""
    memory: bool = True
    """Without memory every tick starts from zero states: what does the state bring?"""
    kernel: KernelName = "torch"
    """What computes the recurrence in training: PyTorch, numba, or the fastest there is (`auto`).
    `c` is accepted from older runs and means numba."""

    def relations(self) -> Rules:
        """Return what ties the options together."""
        return {
            "min-time-constant": (
                self.min_time_constant <= self.max_time_constant,
                "above 0 s and at most --network.max-time-constant",
            ),
            "min-threshold": (
                self.min_threshold <= self.max_threshold,
                "above 0 and at most --network.max-threshold",
            ),
        }


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the network."""

    kind: Literal["spiking", "dense"] = "spiking"
    """`spiking`, or a `dense` one of the same size: softmax attention, GELU, layer norms."""
    width: int = bounded(128, 1, 4096)
    """Numbers of a token (d)."""
    layers: int = bounded(2, 1, 32)
    """Blocks of attention and perceptron."""
    heads: int = bounded(4, 1)
    """Heads of attention."""
    hidden: int = bounded(256, 1, 16384)
    """Neurons of a block's perceptron."""
    window: int = bounded(20, 2, 500, note=", which is an episode")
    """Ticks that attention looks back, the present one included."""
    control_rate: float = checked(
        100.0, lambda rate: rate == 100.0, "100 Hz, that of the batched simulator"
    )
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

    def relations(self) -> Rules:
        """Return what ties the options together."""
        constant, euler = self.membranes.min_time_constant, self.membranes.integration == "euler"
        return {
            "heads": (self.width % self.heads == 0, "a divisor of --network.width"),
            "membranes.min-time-constant": (
                not euler or constant >= 1.0 / self.control_rate,
                "a tick at least where the integration is euler",
            ),
        }


def transformer_config(values: dict[str, Any]) -> TransformerConfig:
    """Return the configuration that `dataclasses.asdict` gave the values of."""
    return TransformerConfig(**{**values, "membranes": MembraneConfig(**values["membranes"])})
