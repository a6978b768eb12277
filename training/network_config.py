"""The configuration of a policy network, spiking or baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.lif_layer import KernelName

Kind = Literal["spiking", "gru", "mlp", "mlp_history"]
Readout = Literal["spikes", "leaky"]
# Brings each observation to about unit size: position, rotation matrix, velocity, body rates.
OBSERVATION_SCALE = (4.0,) * 3 + (2.0,) * 9 + (1.0,) * 3 + (0.25,) * 3


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the policy."""

    hidden: tuple[int, ...] = (256, 128)
    """Neurons of each LIF layer."""
    readout: Readout = "spikes"
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
    synapse: Literal["instant", "current"] = "instant"
    """`current`: input currents decay with learnt time constants (current-based LIF, CuBa)."""
    synapse_time_constant: float = 0.010
    """Initial time constant in s of the synaptic currents."""
    memory: bool = True
    """Without memory every tick starts from zero states: what does the state bring?"""
    kernel: KernelName = "torch"
    """What computes the recurrence in training: C, numba, PyTorch, or the fastest there is."""
