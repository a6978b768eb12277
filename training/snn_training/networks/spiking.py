"""The spiking policy network: layers of one neuron model between observation and read-out.

Which model, synapse and read-out is the configuration's choice; their maths is in `neurons`. Here
are the parameters, the tick, and whole sequences for training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE
from snn_training.networks.config import OBSERVATION_SCALE, NetworkConfig
from snn_training.neurons import (
    Array,
    Arrays,
    CellRanges,
    Constant,
    LayerWeights,
    Spike,
    has_kernel,
    heaviside,
    make_cell,
    make_readout,
    make_synapse,
    run_layer,
    step_layer,
)

Ticked = tuple[Array, Arrays, Arrays]  # action, next states, spikes per layer


class PolicyWeights(NamedTuple):
    """Arrays of a whole policy, of torch or NumPy, as a tick uses them."""

    layers: tuple[LayerWeights, ...]
    readout_weight: Array  # (neurons, actions)
    readout_bias: Array  # (actions,)
    readout: Arrays  # constants of the read-out, each (actions,)
    feedback: Array | None = None  # (actions, neurons) from the last action to the first layer

    def convert(self, function: Callable[[Array], Array]) -> PolicyWeights:
        """Return the weights with every array passed through a function."""
        return _convert(self, function)


class SpikingPolicy(nn.Module):
    """Trainable parameters around `tick`.

    Time constants are stored as their logarithm in seconds, thresholds before softplus, so both
    stay positive; decays follow from the control rate.
    """

    def __init__(self, config: NetworkConfig, *, generator: torch.Generator | None = None) -> None:
        """Initialise weights from a generator; time constants cover the configured range."""
        super().__init__()
        self.config, rate = config, config.control_rate
        ranges = CellRanges(
            rate,
            (config.min_time_constant, config.max_time_constant),
            (config.min_threshold, config.max_threshold),
            config.reset == "hard",
        )
        self.cell = make_cell(config.kind, ranges, config)
        self.synapse = make_synapse(config.synapse, rate, config.synapse_time_constant)
        self.readout = make_readout(config.readout, rate, config.readout_time_constant)
        sizes = (OBSERVATION_SIZE, *config.hidden)
        pairs = list(pairwise(sizes))
        self._draw(self.cell.constants, generator)
        # Scaled with the gain, so that slow neurons, which sum over many ticks, are not flooded.
        gains = [config.input_gain * self.cell.gain(x) for x in self._used(self.cell.constants)]
        self.weights = nn.ParameterList(
            _uniform(pair, generator) * gain for pair, gain in zip(pairs, gains, strict=True)
        )
        self.biases = nn.ParameterList(
            _uniform((1, len(gain)), generator)[0] * gain / config.input_gain for gain in gains
        )
        readout = config.readout_gain * _uniform((sizes[-1], ACTION_SIZE), generator)
        self.readout_weight = nn.Parameter(readout)
        self.readout_bias = nn.Parameter(torch.zeros(ACTION_SIZE))
        for constant in self.readout.constants:
            values = constant.draw(ACTION_SIZE, generator)
            self.register_parameter(constant.parameter, nn.Parameter(values))
        self._draw(self.synapse.constants, generator)
        if config.recurrent:
            # Weaker than the input: a spike is worth one, and all neurons may spike at once.
            self.recurrent_weights = nn.ParameterList(
                _uniform((len(gain), len(gain)), generator) * gain / config.input_gain
                for gain in gains
            )
        if config.action_feedback:
            gain = gains[0]
            self.feedback_weight = nn.Parameter(
                _uniform((ACTION_SIZE, len(gain)), generator) * gain
            )
        self.compiled = has_kernel(config.kernel)  # refuses early what cannot be had
        self.register_buffer("observation_scale", torch.tensor(OBSERVATION_SCALE))

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the spiking layers, input side first."""
        return tuple(f"{self.cell.name}{index + 1}" for index in range(len(self.config.hidden)))

    @property
    def layer_states(self) -> tuple[str, ...]:
        """Names of the states of a layer: those of its cell, then those of its synapse."""
        return (*self.cell.states, *self.synapse.states)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states in order, as the artifact spells them; without the last action."""
        names = (f"{state}_{layer}" for state in self.layer_states for layer in self.layer_names)
        return (*names, *self.readout.states)

    def initial_states(self, batch: int = 1) -> tuple[Tensor, ...]:
        """Return the states (batch, size) after a reset; with action feedback, the action last."""
        sizes = self.config.hidden * len(self.layer_states)
        sizes += (ACTION_SIZE,) * (len(self.readout.states) + self.config.action_feedback)
        return tuple(self.readout_bias.new_zeros(batch, size) for size in sizes)

    def time_constants(self) -> list[nn.Parameter]:
        """Return the parameters that want a larger step: logarithms of cells' time constants."""
        quick = (x.parameter for x in self.cell.constants if x.quick)
        return [parameter for name in quick for parameter in self._parameters_of(name)]

    def policy_weights(self) -> PolicyWeights:
        """Return the arrays of a tick; gradients flow to the parameters."""
        scale = torch.as_tensor(self.observation_scale)[:, None]
        neurons, synapses = self._used(self.cell.constants), self._used(self.synapse.constants)
        recurrent = self.recurrent_weights if self.config.recurrent else [None] * len(neurons)
        arrays = zip(self.weights, self.biases, neurons, synapses, recurrent, strict=True)
        layers = [LayerWeights(*layer) for layer in arrays]
        layers[0] = layers[0]._replace(weight=scale * layers[0].weight)
        return PolicyWeights(
            tuple(layers),
            self.readout_weight,
            self.readout_bias,
            tuple(x.used(getattr(self, x.parameter)) for x in self.readout.constants),
            self.feedback_weight if self.config.action_feedback else None,
        )

    @torch.no_grad()
    def assign(self, weights: PolicyWeights) -> None:
        """Set the parameters so that `policy_weights` gives these tensors, but for rounding."""
        scale = torch.as_tensor(self.observation_scale)[:, None]
        for index, layer in enumerate(weights.layers):
            self.weights[index].copy_(layer.weight if index else layer.weight / scale)
            self.biases[index].copy_(layer.bias)
            pairs = [*zip(self.cell.constants, layer.neuron, strict=True)]
            pairs += zip(self.synapse.constants, layer.synapse, strict=True)
            for constant, value in pairs:
                self._parameters_of(constant.parameter)[index].copy_(constant.stored(value))
            if layer.recurrent is not None:
                self.recurrent_weights[index].copy_(layer.recurrent)
        self.readout_weight.copy_(weights.readout_weight)
        self.readout_bias.copy_(weights.readout_bias)
        for constant, value in zip(self.readout.constants, weights.readout, strict=True):
            getattr(self, constant.parameter).copy_(constant.stored(value))
        if weights.feedback is not None:
            self.feedback_weight.copy_(weights.feedback)

    def tick(
        self,
        weights: PolicyWeights,
        observation: Array,
        states: Arrays,
        *,
        spike: Spike = heaviside,
        tanh: Callable[[Array], Array] = torch.tanh,
    ) -> Ticked:
        """Advance by one tick and return (action, next states, spikes per layer).

        By operators only, so arrays are of torch or NumPy.

        Args:
            weights: As `policy_weights` gives them.
            observation: (batch, 18).
            states: As `initial_states` gives them.
            spike: Maps (membrane, threshold) to zeros and ones.
            tanh: Hyperbolic tangent of the array library in use.
        """
        if not self.config.memory:
            states = tuple(0.0 * state for state in states)
        layers, rest = self._by_layer(states)
        signal, following, spikes = observation, [], []
        for index, (layer, own) in enumerate(zip(weights.layers, layers, strict=True)):
            current = signal @ layer.weight + layer.bias
            if index == 0 and weights.feedback is not None:
                current = current + rest[-1] @ weights.feedback
            signal, own = step_layer(self.cell, self.synapse, layer, current, own, spike)
            following.append(own)
            spikes.append(signal)
        drive = signal @ weights.readout_weight + weights.readout_bias
        kept = rest[: len(self.readout.states)]
        drive, kept = self.readout.step(drive, kept, weights.readout)
        action = tanh(drive)
        fed_back = () if weights.feedback is None else (action,)
        return action, (*_by_state(following), *kept, *fed_back), tuple(spikes)

    def forward(
        self,
        observations: Tensor,
        states: tuple[Tensor, ...],
        slope: float,
        restarts: Tensor | None = None,
        flown: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Run a sequence and return (actions, last states, spikes per layer).

        Layer by layer: one matrix product over all ticks, then the layer's recurrence.

        Args:
            observations: (T, batch, 18).
            states: States before the sequence, as `initial_states` gives them.
            slope: Slope k of the surrogate gradient.
            restarts: True where a new episode begins: all states are zeroed before that tick
                (T, batch); None if the sequence holds no such tick.
            flown: Actions (T, batch, 4) that followed the observations, by whomever: what action
                feedback feeds back. Only networks with feedback need them.
        """
        weights, keep = self.policy_weights(), self._keep(observations, restarts)
        layers, rest = self._by_layer(states)
        signal, fed_back = observations, ()
        if weights.feedback is not None:
            if flown is None:
                raise ValueError("a network with action feedback needs the actions that were flown")
            signal, weights = _with_feedback(signal, weights, rest[-1], flown, keep)
            fed_back = (flown[-1],)
        following, spikes = [], []
        for layer, own in zip(weights.layers, layers, strict=True):
            signal, own = run_layer(
                *(self.cell, self.synapse, layer, signal, own, slope),
                keep=keep,
                compiled=self.compiled,
            )
            following.append(own)
            spikes.append(signal)
        kept = rest[: len(self.readout.states)]
        drive, kept = self.readout.sequence(
            self._read_out(signal, weights), kept, weights.readout, keep
        )
        return torch.tanh(drive), (*_by_state(following), *kept, *fed_back), tuple(spikes)

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates a tick on inputs that are no spikes."""
        feedback = self.feedback_weight.numel() if self.config.action_feedback else 0
        return self.weights[0].numel() + feedback

    def margin(self, weights: PolicyWeights, states: Arrays) -> float:
        """Return how near any membrane is to its threshold after a tick."""
        layers, _ = self._by_layer(states)
        distance = float("inf")
        for layer, own in zip(weights.layers, layers, strict=False):
            membrane, threshold = self.cell.levels(own[: len(self.cell.states)], layer.neuron)
            distance = min(distance, float((membrane - threshold).abs().min()))
        return distance

    def set_applied_action(self, states: Any, flown: Any) -> Any:
        """Return the states, of either array type, with what was flown as the last action."""
        return (*states[:-1], flown) if self.config.action_feedback else states

    def stepper(self) -> Callable[[Tensor, tuple[Tensor, ...]], Ticked]:
        """Return `tick` with the present weights, of observation and states."""
        return partial(self.tick, self.policy_weights().convert(Tensor.detach))

    def at_rate(self, control_rate: float) -> SpikingPolicy:
        """Return a copy that ticks at another rate in Hz, its time constants in s unchanged.

        Input currents are scaled with the gain of a tick, so a constant input drives each membrane
        to the level it had before.
        """
        other = SpikingPolicy(replace(self.config, control_rate=control_rate))
        other.load_state_dict(self.state_dict())
        recurrent = list(getattr(other, "recurrent_weights", ()))
        constants = other._used(other.cell.constants), self._used(self.cell.constants)
        with torch.no_grad():
            for index, (new, old) in enumerate(zip(*constants, strict=True)):
                gain = other.cell.gain(new) / self.cell.gain(old)
                driving = [other.weights[index], other.biases[index], *recurrent[index : index + 1]]
                if index == 0 and self.config.action_feedback:
                    driving.append(other.feedback_weight)
                for weight in driving:
                    weight.mul_(gain)
        return other

    def _draw(self, constants: tuple[Constant, ...], generator: torch.Generator | None) -> None:
        """Add a list of parameters, one a layer, for each constant."""
        for constant in constants:
            drawn = (constant.draw(size, generator) for size in self.config.hidden)
            self.add_module(constant.parameter, nn.ParameterList(drawn))

    def _parameters_of(self, name: str) -> list[nn.Parameter]:
        return list(getattr(self, name))

    def _used(self, constants: tuple[Constant, ...]) -> list[tuple[Tensor, ...]]:
        """Return what a tick uses of the constants, layer by layer."""
        return [
            tuple(x.used(self._parameters_of(x.parameter)[index]) for x in constants)
            for index in range(len(self.config.hidden))
        ]

    def _by_layer(self, states: Arrays) -> tuple[list[Arrays], Arrays]:
        """Return the states of each layer, and those of the read-out and the last action."""
        count, kinds = len(self.config.hidden), len(self.layer_states)
        own = [tuple(states[index : kinds * count : count]) for index in range(count)]
        return own, tuple(states[kinds * count :])

    def _keep(self, observations: Tensor, restarts: Tensor | None) -> Tensor | None:
        """Return 0 where states are zeroed before a tick, else 1; None where they never are."""
        if not self.config.memory:
            return observations.new_zeros(observations.shape[:2])
        return None if restarts is None else (~restarts).to(observations.dtype)

    def _read_out(self, signal: Tensor, weights: PolicyWeights) -> Tensor:
        if self.config.kernel == "torch":
            return signal @ weights.readout_weight + weights.readout_bias
        # The same product; this layout makes the gradient of the few columns ten times faster.
        narrow = weights.readout_weight.T.contiguous()
        return functional.linear(signal, narrow, weights.readout_bias)


def _with_feedback(
    signal: Tensor, weights: PolicyWeights, before: Tensor, flown: Tensor, keep: Tensor | None
) -> tuple[Tensor, PolicyWeights]:
    """Return the first layer's inputs with the last actions among them, and such weights."""
    previous = torch.cat([before[None], flown[:-1]])
    if keep is not None:
        previous = previous * keep[..., None]
    first, feedback = weights.layers[0], torch.as_tensor(weights.feedback)
    joined = first._replace(weight=torch.cat([first.weight, feedback]))
    layers = (joined, *weights.layers[1:])
    return torch.cat([signal, previous], dim=-1), weights._replace(layers=layers)


def _by_state(layers: list[Arrays]) -> Arrays:
    """Return the states of all layers by state, then by layer."""
    return tuple(state for states in zip(*layers, strict=True) for state in states)


def _convert(value: Any, function: Callable[[Array], Array]) -> Any:
    if value is None:
        return None
    if not isinstance(value, tuple):
        return function(value)
    parts = [_convert(x, function) for x in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


def _uniform(shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
    bound = shape[0] ** -0.5
    return (2.0 * torch.rand(shape, generator=generator) - 1.0) * bound
