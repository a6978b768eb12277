"""The maths of one tick of the spiking policy, by operators only.

    U' = beta U + I - s(U) U_thr,   spike of the tick: s(U') = U' > U_thr

The reset is one tick late, so the membrane is the layer's whole state. A hard reset forgets the
membrane instead: U' = beta U (1 - s(U)) + I. The input current is I = W x + b; a recurrent layer
adds V s(U), and with a current-based synapse (CuBa) the current itself decays:
I' = alpha I + (1 - alpha) (W x + b). PyTorch training, the ONNX export and the NumPy reference of
the tests all run this one definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class LayerWeights(NamedTuple):
    """Arrays of one LIF layer, of torch or NumPy."""

    weight: Any  # (inputs, neurons)
    bias: Any  # (neurons,)
    beta: Any  # (neurons,) decay of the membrane a tick
    threshold: Any  # (neurons,)
    recurrent: Any | None = None  # (neurons, neurons) from the layer's last spikes to itself
    alpha: Any | None = None  # (neurons,) decay of the synaptic current a tick
    hard: bool = False  # a spike zeroes the membrane instead of lowering it


class PolicyWeights(NamedTuple):
    """Arrays of a whole policy; `readout_beta` is None where spikes are read out directly."""

    layers: tuple[LayerWeights, ...]
    readout_weight: Any  # (neurons, actions)
    readout_bias: Any  # (actions,)
    readout_beta: Any | None  # (actions,)
    feedback: Any | None = None  # (actions, neurons) from the last action to the first layer
    memory: bool = True  # without, every tick starts from zero states

    def convert(self, function: Callable) -> PolicyWeights:
        """Return the weights with every array passed through a function."""

        def apply(value: Any) -> Any:
            return value if value is None or isinstance(value, bool) else function(value)

        layers = tuple(LayerWeights(*map(apply, layer)) for layer in self.layers)
        return PolicyWeights(layers, *map(apply, self[1:]))


def lif_step(current: Any, membrane: Any, layer: LayerWeights, spike: Callable) -> tuple[Any, Any]:
    """Advance one layer by one tick and return (spikes, membrane), each (batch, neurons).

    Args:
        current: Input current (batch, neurons).
        membrane: Membrane before the tick (batch, neurons).
        layer: Weights; all but those of the input are used.
        spike: Maps (membrane, threshold) to zeros and ones; here training puts its surrogate.
    """
    if layer.recurrent is not None:
        current = current + spike(membrane, layer.threshold) @ layer.recurrent
    if layer.hard:
        membrane = layer.beta * (membrane * (membrane <= layer.threshold)) + current
    else:
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
        states: One membrane (batch, neurons) a layer, then one synaptic current a layer if these
            decay, then the read-out (batch, 4) if leaky, then the last action (batch, 4) if it is
            fed back.
        spike: Maps (membrane, threshold) to zeros and ones.
        tanh: Hyperbolic tangent of the array library in use.
    """
    if not weights.memory:
        states = tuple(0.0 * state for state in states)
    count, readout = len(weights.layers), states[-1]
    signal = observation
    if weights.feedback is not None:
        readout = states[-2]
    membranes, currents, spikes = [], [], []
    for index, layer in enumerate(weights.layers):
        current = signal @ layer.weight + layer.bias
        if index == 0 and weights.feedback is not None:
            current = current + states[-1] @ weights.feedback
        if layer.alpha is not None:
            current = layer.alpha * states[count + index] + (1.0 - layer.alpha) * current
            currents.append(current)
        signal, membrane = lif_step(current, states[index], layer, spike)
        membranes.append(membrane)
        spikes.append(signal)
    drive = signal @ weights.readout_weight + weights.readout_bias
    following = [*membranes, *currents]
    if weights.readout_beta is not None:
        drive = weights.readout_beta * readout + (1.0 - weights.readout_beta) * drive
        following.append(drive)
    action = tanh(drive)
    if weights.feedback is not None:
        following.append(action)
    return action, tuple(following), tuple(spikes)


def numpy_step(
    weights: PolicyWeights, observation: Any, states: tuple[Any, ...]
) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """Advance NumPy weights by one tick; see `policy_step`."""
    return policy_step(weights, observation, states, spike=_numpy_spike, tanh=np.tanh)


def _numpy_spike(membrane: Any, threshold: Any) -> Any:
    return (membrane > threshold).astype(np.float32)
