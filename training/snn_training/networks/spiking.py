"""The spiking policy network: LIF layers with learnable time constants and thresholds.

`lif.py` holds the maths of a tick; here are the parameters, and whole sequences for training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE
from snn_training.networks.config import OBSERVATION_SCALE, NetworkConfig
from snn_training.neurons import (
    LayerWeights,
    LIFSequence,
    PolicyWeights,
    heaviside,
    lif_layer,
    lif_loop,
    load_kernel,
    low_pass,
    policy_step,
)


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
        readout = config.readout_gain * _uniform((sizes[-1], ACTION_SIZE), generator)
        self.readout_weight = nn.Parameter(readout)
        self.readout_bias = nn.Parameter(torch.zeros(ACTION_SIZE))
        if config.readout == "leaky":
            start = log(config.readout_time_constant)
            self.readout_log_time_constant = nn.Parameter(torch.full((ACTION_SIZE,), start))
        if config.synapse == "current":
            self.synapse_log_time_constants = nn.ParameterList(
                torch.full((size,), log(config.synapse_time_constant)) for size in config.hidden
            )
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
        load_kernel(config.kernel)  # refuses early what cannot be had
        self.register_buffer("observation_scale", torch.tensor(OBSERVATION_SCALE))

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states in order, as the artifact spells them; without the last action."""
        names = tuple(f"membrane_{name}" for name in self.layer_names)
        if self.config.synapse == "current":
            names = (*names, *(f"current_{name}" for name in self.layer_names))
        return (*names, "readout") if self.config.readout == "leaky" else names

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the spiking layers, input side first."""
        return tuple(f"lif{index + 1}" for index in range(len(self.config.hidden)))

    def initial_states(self, batch: int = 1) -> tuple[Tensor, ...]:
        """Return the states (batch, size) after a reset; with action feedback, the action last."""
        sizes = self.config.hidden * (2 if self.config.synapse == "current" else 1)
        if self.config.readout == "leaky":
            sizes = (*sizes, ACTION_SIZE)
        if self.config.action_feedback:
            sizes = (*sizes, ACTION_SIZE)
        return tuple(self.readout_bias.new_zeros(batch, size) for size in sizes)

    def time_constants(self) -> list[nn.Parameter]:
        """Return the parameters that want a larger step: logarithms of membrane time constants."""
        return list(self.log_time_constants)

    def policy_weights(self) -> PolicyWeights:
        """Return the arrays of `policy_step`; gradients flow to the parameters."""
        scale = torch.as_tensor(self.observation_scale)[:, None]
        layers = [self._layer_weights(index) for index in range(len(self.weights))]
        layers[0] = layers[0]._replace(weight=scale * layers[0].weight)
        leaky = self.config.readout == "leaky"
        beta = self._decay(self.readout_log_time_constant) if leaky else None
        readout = self.readout_weight, self.readout_bias, beta
        feedback = self.feedback_weight if self.config.action_feedback else None
        return PolicyWeights(tuple(layers), *readout, feedback, self.config.memory)

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
        signal, count, readout = observations, len(weights.layers), states[-1]
        if weights.feedback is not None:
            if flown is None:
                raise ValueError("a network with action feedback needs the actions that were flown")
            signal, weights = self._with_feedback(signal, weights, states[-1], flown, keep)
            readout = states[-2]
        membranes, currents, spikes = [], [], []
        for index, layer in enumerate(weights.layers):
            current = states[count + index] if layer.alpha is not None else None
            signal, membrane, current = self._layer_sequence(
                signal, layer, states[index], current, slope, keep
            )
            membranes.append(membrane)
            spikes.append(signal)
            if current is not None:
                currents.append(current)
        drive = self._read_out(signal, weights)
        last = [*membranes, *currents]
        if weights.readout_beta is not None:
            drive = low_pass(drive, readout, weights.readout_beta, keep)
            last.append(drive[-1])
        if flown is not None and self.config.action_feedback:
            last.append(flown[-1])
        return torch.tanh(drive), tuple(last), tuple(spikes)

    def _with_feedback(
        self,
        signal: Tensor,
        weights: PolicyWeights,
        before: Tensor,
        flown: Tensor,
        keep: Tensor | None,
    ) -> tuple[Tensor, PolicyWeights]:
        """Return the first layer's inputs with the last actions among them, and such weights."""
        previous = torch.cat([before[None], flown[:-1]])
        if keep is not None:
            previous = previous * keep[..., None]
        first, feedback = weights.layers[0], torch.as_tensor(weights.feedback)
        joined = first._replace(weight=torch.cat([first.weight, feedback]))
        layers = (joined, *weights.layers[1:])
        return torch.cat([signal, previous], dim=-1), weights._replace(layers=layers)

    def _layer_sequence(
        self,
        signal: Tensor,
        layer: LayerWeights,
        membrane: Tensor,
        current: Tensor | None,
        slope: float,
        keep: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return spikes (T, batch, neurons), last membrane and last synaptic current."""
        beta, threshold = layer.beta, layer.threshold
        if current is None and layer.recurrent is None:
            return *lif_layer(
                *(load_kernel(self.config.kernel), signal, layer.weight, layer.bias),
                *(membrane, beta, threshold, slope),
                keep=keep,
                hard=layer.hard,
            ), None
        drive = functional.linear(signal, layer.weight.T, layer.bias)
        if current is not None and layer.alpha is not None:
            drive = low_pass(drive, current, layer.alpha, keep)
            current = drive[-1]
        if layer.recurrent is not None:
            return *lif_loop(drive, membrane, layer, slope, keep), current
        spikes, membrane = LIFSequence.apply(
            drive, membrane, beta, threshold, slope, keep, layer.hard
        )  # type: ignore[misc]
        return spikes, membrane, current

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates a tick on inputs that are no spikes."""
        feedback = self.feedback_weight.numel() if self.config.action_feedback else 0
        return self.weights[0].numel() + feedback

    def _read_out(self, signal: Tensor, weights: PolicyWeights) -> Tensor:
        if self.config.kernel == "torch":
            return signal @ weights.readout_weight + weights.readout_bias
        # The same product; this layout makes the gradient of the few columns ten times faster.
        narrow = weights.readout_weight.T.contiguous()
        return functional.linear(signal, narrow, weights.readout_bias)

    def heed(self, states: Any, flown: Any) -> Any:
        """Return the states, of either array type, with what was flown as the last action."""
        return (*states[:-1], flown) if self.config.action_feedback else states

    def stepper(self) -> Callable:
        """Return the tick with the present weights, (observation, states) -> `policy_step`'s."""
        weights = self.policy_weights().convert(Tensor.detach)
        return partial(policy_step, weights, spike=heaviside, tanh=torch.tanh)

    def _keep(self, observations: Tensor, restarts: Tensor | None) -> Tensor | None:
        """Return 0 where states are zeroed before a tick, else 1; None where they never are."""
        if not self.config.memory:
            return observations.new_zeros(observations.shape[:2])
        return None if restarts is None else (~restarts).to(observations.dtype)

    def _layer_weights(self, index: int) -> LayerWeights:
        config = self.config
        return LayerWeights(
            self.weights[index],
            self.biases[index],
            self._decay(self.log_time_constants[index]),
            functional.softplus(self.raw_thresholds[index]),
            self.recurrent_weights[index] if config.recurrent else None,
            self._decay(self.synapse_log_time_constants[index])
            if config.synapse == "current"
            else None,
            config.reset == "hard",
        )

    def at_rate(self, control_rate: float) -> SpikingPolicy:
        """Return a copy that ticks at another rate in Hz, its time constants in s unchanged.

        Input currents are scaled with the step's gain 1 - beta, so a constant input drives each
        membrane to the level it had before.
        """
        other = SpikingPolicy(replace(self.config, control_rate=control_rate))
        other.load_state_dict(self.state_dict())
        fed_back = [other.feedback_weight] if self.config.action_feedback else []
        recurrent = list(getattr(other, "recurrent_weights", ()))
        with torch.no_grad():
            for index, log_tau in enumerate(self.log_time_constants):
                gain = (1.0 - other._decay(log_tau)) / (1.0 - self._decay(log_tau))
                driving = [other.weights[index], other.biases[index], *recurrent[index : index + 1]]
                for weight in driving + (fed_back if index == 0 else []):
                    weight.mul_(gain)
        return other

    def _decay(self, log_time_constant: Tensor) -> Tensor:
        return torch.exp(-torch.exp(-log_time_constant) / self.config.control_rate)


def _uniform(shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
    bound = shape[0] ** -0.5
    return (2.0 * torch.rand(shape, generator=generator) - 1.0) * bound


def _spread(low: float, high: float, size: int, generator: torch.Generator | None) -> Tensor:
    return low + (high - low) * torch.rand(size, generator=generator)


def _inverse_softplus(value: Tensor) -> Tensor:
    return torch.log(torch.expm1(value))
