"""The spiking policy network: LIF layers with learnable time constants and thresholds.

    U' = beta U + W x + b - s(U) U_thr,   spike of the tick: U' > U_thr,   beta = exp(-dt / tau)

The reset is soft and one tick late, so the membrane is the layer's whole state. `policy_step`
holds the maths once, by operators only: PyTorch training, the ONNX export and the NumPy reference
of the tests all run it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from snn_controller.action import ACTION_SIZE
from snn_controller.observation import OBSERVATION_SIZE
from torch import Tensor, nn
from torch.nn import functional

from training.surrogate import LIFSequence

Readout = Literal["spikes", "leaky"]
# Brings each observation to about unit size: position, rotation matrix, velocity, body rates.
OBSERVATION_SCALE = (4.0,) * 3 + (2.0,) * 9 + (1.0,) * 3 + (0.25,) * 3


class LayerWeights(NamedTuple):
    """Arrays of one LIF layer, of torch or NumPy."""

    weight: Any  # (inputs, neurons)
    bias: Any  # (neurons,)
    beta: Any  # (neurons,) decay a tick
    threshold: Any  # (neurons,)


class PolicyWeights(NamedTuple):
    """Arrays of a whole policy; `readout_beta` is None where spikes are read out directly."""

    layers: tuple[LayerWeights, ...]
    readout_weight: Any  # (neurons, actions)
    readout_bias: Any  # (actions,)
    readout_beta: Any | None  # (actions,)


def lif_step(current: Any, membrane: Any, layer: LayerWeights, spike: Callable) -> tuple[Any, Any]:
    """Advance one layer by one tick and return (spikes, membrane), each (batch, neurons).

    Args:
        current: Input current (batch, neurons).
        membrane: Membrane before the tick (batch, neurons).
        layer: Weights; only beta and threshold are used.
        spike: Maps (membrane, threshold) to zeros and ones; here training puts its surrogate.
    """
    reset = (membrane > layer.threshold) * layer.threshold
    membrane = layer.beta * membrane + current - reset
    return spike(membrane, layer.threshold), membrane


def policy_step(
    weights: PolicyWeights,
    observation: Any,
    states: tuple[Any, ...],
    *,
    spike: Callable,
    tanh: Callable,
) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """Advance the policy by one tick and return (action, next states, spikes per layer).

    Args:
        weights: Arrays of the policy.
        observation: (batch, 18).
        states: One membrane (batch, neurons) a layer, then the read-out (batch, 4) if leaky.
        spike: Maps (membrane, threshold) to zeros and ones.
        tanh: Hyperbolic tangent of the array library in use.
    """
    signal = observation
    membranes, spikes = [], []
    for layer, membrane in zip(weights.layers, states, strict=False):
        signal, membrane = lif_step(signal @ layer.weight + layer.bias, membrane, layer, spike)
        membranes.append(membrane)
        spikes.append(signal)
    drive = signal @ weights.readout_weight + weights.readout_bias
    if weights.readout_beta is not None:
        drive = weights.readout_beta * states[-1] + (1.0 - weights.readout_beta) * drive
        membranes.append(drive)
    return tanh(drive), tuple(membranes), tuple(spikes)


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the spiking policy."""

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
    readout_time_constant: float = 0.010
    """Initial time constant in s of the leaky read-out."""


class SpikingPolicy(nn.Module):
    """Trainable parameters around `policy_step`.

    Time constants are stored as their logarithm in seconds, thresholds before softplus, so both
    stay positive; decays follow from the control rate.
    """

    def __init__(self, config: NetworkConfig, *, generator: torch.Generator | None = None) -> None:
        """Initialise weights from a generator; time constants cover the configured range."""
        super().__init__()
        self.config = config
        sizes = (OBSERVATION_SIZE, *config.hidden)
        pairs = list(pairwise(sizes))
        self.log_time_constants = nn.ParameterList(
            _spread(log(config.min_time_constant), log(config.max_time_constant), size, generator)
            for size in config.hidden
        )
        self.raw_thresholds = nn.ParameterList(
            _inverse_softplus(_spread(config.min_threshold, config.max_threshold, size, generator))
            for size in config.hidden
        )
        # Scaled with 1 - beta, so that slow neurons, which sum over many ticks, are not flooded.
        gains = [config.input_gain * (1.0 - self._decay(x)) for x in self.log_time_constants]
        self.weights = nn.ParameterList(
            _uniform(pair, generator) * gain for pair, gain in zip(pairs, gains, strict=True)
        )
        self.biases = nn.ParameterList(
            _uniform((1, len(gain)), generator)[0] * gain / config.input_gain for gain in gains
        )
        self.readout_weight = nn.Parameter(_uniform((sizes[-1], ACTION_SIZE), generator))
        self.readout_bias = nn.Parameter(torch.zeros(ACTION_SIZE))
        if config.readout == "leaky":
            start = log(config.readout_time_constant)
            self.readout_log_time_constant = nn.Parameter(torch.full((ACTION_SIZE,), start))
        self.register_buffer("observation_scale", torch.tensor(OBSERVATION_SCALE))

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states in order, as the artifact spells them."""
        names = tuple(f"membrane_{name}" for name in self.layer_names)
        return (*names, "readout") if self.config.readout == "leaky" else names

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the spiking layers, input side first."""
        return tuple(f"lif{index + 1}" for index in range(len(self.config.hidden)))

    def initial_states(self, batch: int = 1) -> tuple[Tensor, ...]:
        """Return the states (batch, size) after a reset."""
        sizes = self.config.hidden
        if self.config.readout == "leaky":
            sizes = (*sizes, ACTION_SIZE)
        return tuple(torch.zeros(batch, size) for size in sizes)

    def policy_weights(self) -> PolicyWeights:
        """Return the arrays of `policy_step`; gradients flow to the parameters."""
        scale = torch.as_tensor(self.observation_scale)[:, None]
        layers = [
            LayerWeights(weight, bias, self._decay(log_tau), functional.softplus(threshold))
            for weight, bias, log_tau, threshold in zip(
                self.weights,
                self.biases,
                self.log_time_constants,
                self.raw_thresholds,
                strict=True,
            )
        ]
        layers[0] = layers[0]._replace(weight=scale * layers[0].weight)
        leaky = self.config.readout == "leaky"
        beta = self._decay(self.readout_log_time_constant) if leaky else None
        return PolicyWeights(tuple(layers), self.readout_weight, self.readout_bias, beta)

    def forward(
        self, observations: Tensor, states: tuple[Tensor, ...], slope: float
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Run a sequence and return (actions, last states, spikes per layer).

        Layer by layer: one matrix product over all ticks, then the layer's recurrence.

        Args:
            observations: (T, batch, 18).
            states: States before the sequence, as `initial_states` gives them.
            slope: Slope k of the surrogate gradient.
        """
        weights = self.policy_weights()
        signal, last, spikes = observations, [], []
        for layer, membrane in zip(weights.layers, states, strict=False):
            current = functional.linear(signal, layer.weight.T, layer.bias)
            signal, membrane = LIFSequence.apply(
                current, membrane, layer.beta, layer.threshold, slope
            )  # type: ignore[misc]
            last.append(membrane)
            spikes.append(signal)
        drive = signal @ weights.readout_weight + weights.readout_bias
        if weights.readout_beta is not None:
            drive = _low_pass(drive, states[-1], weights.readout_beta)
            last.append(drive[-1])
        return torch.tanh(drive), tuple(last), tuple(spikes)

    def at_rate(self, control_rate: float) -> SpikingPolicy:
        """Return a copy that ticks at another rate in Hz, its time constants in s unchanged.

        Input currents are scaled with the step's gain 1 - beta, so a constant input drives each
        membrane to the level it had before.
        """
        other = SpikingPolicy(replace(self.config, control_rate=control_rate))
        other.load_state_dict(self.state_dict())
        with torch.no_grad():
            for weight, bias, log_tau in zip(
                other.weights, other.biases, self.log_time_constants, strict=True
            ):
                gain = (1.0 - other._decay(log_tau)) / (1.0 - self._decay(log_tau))
                weight.mul_(gain)
                bias.mul_(gain)
        return other

    def _decay(self, log_time_constant: Tensor) -> Tensor:
        return torch.exp(-torch.exp(-log_time_constant) / self.config.control_rate)


def numpy_weights(policy: SpikingPolicy) -> PolicyWeights:
    """Return the policy's arrays as float32 NumPy, for the reference and for roll-outs."""

    def convert(value: Any) -> Any:
        return None if value is None else value.detach().numpy().astype(np.float32)

    weights = policy.policy_weights()
    layers = tuple(LayerWeights(*map(convert, layer)) for layer in weights.layers)
    return PolicyWeights(layers, *map(convert, weights[1:]))


def numpy_step(
    weights: PolicyWeights, observation: Any, states: tuple[Any, ...]
) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """Advance NumPy weights by one tick; see `policy_step`."""
    return policy_step(weights, observation, states, spike=_numpy_spike, tanh=np.tanh)


def _numpy_spike(membrane: Any, threshold: Any) -> Any:
    return (membrane > threshold).astype(np.float32)


def _uniform(shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
    bound = shape[0] ** -0.5
    return (2.0 * torch.rand(shape, generator=generator) - 1.0) * bound


def _spread(low: float, high: float, size: int, generator: torch.Generator | None) -> Tensor:
    return low + (high - low) * torch.rand(size, generator=generator)


def _inverse_softplus(value: Tensor) -> Tensor:
    return torch.log(torch.expm1(value))


def _low_pass(drive: Tensor, state: Tensor, beta: Tensor) -> Tensor:
    """Return y_t = beta y_(t-1) + (1 - beta) x_t over the first axis of drive (T, batch, 4)."""
    filtered = []
    for now in drive.unbind():
        state = beta * state + (1.0 - beta) * now
        filtered.append(state)
    return torch.stack(filtered)
