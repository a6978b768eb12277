"""Export of a decision transformer to `policy.onnx`: one tick with its window as states.

Each block keeps keys and values of the last ticks (`memory_<block>`), spiking layers their
membranes; the return-to-go is kept inside. The graph is like that of any other policy and flown by
the same runtime.

    python training/transformer_export.py --run runs/NAME --output policy.onnx
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_controller.policy import Policy
from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE, load_quadrotor
from snn_training.artifacts.file import (
    LAST_ACTION,
    ArtifactInfo,
    Rows,
    Tick,
    require_finite,
    trace_tick,
    write_artifact,
)
from snn_training.networks.transformer import (
    ERROR,
    Conditioning,
    DecisionTransformer,
    FlyingTransformer,
    NamedStates,
    transformer_config,
)
from snn_training.neurons import Membranes, PlasticityConfig
from snn_training.runs import load_best

TARGET = "target_return"
SILENCE = 0.3  # s; sparse layers say nothing for up to 0.1 s while there is little to correct


def export_transformer(flying: FlyingTransformer, path: Path, info: ArtifactInfo) -> None:
    """Write the artifact of a transformer as it flies, atomically.

    Raises:
        UserError: The network has weights that are not finite, or the file cannot be written.
    """
    require_finite(flying)
    network = flying.network
    tick = Tick(
        network.config.control_rate,
        _layers(network),
        network.multiply_accumulates,
        partial(_fly, flying),
        _conditions(flying),
    )
    write_artifact(path, tick_graph(flying), tick, info)


def tick_graph(flying: FlyingTransformer) -> onnx.ModelProto:
    """Return the graph of one tick, in the precision of the network."""
    step = _TransformerTick(flying)
    return trace_tick(
        step,
        (*step.example_inputs(), *step.example_states.values()),
        [*step.inputs, *step.example_states],
        [
            "action",
            *(f"{name}_next" for name in step.example_states),
            *(f"spikes_{name}" for name in flying.network.layers),
        ],
    )


class _TransformerTick(nn.Module):
    """One tick with tensors instead of dictionaries, and only the inputs that it uses."""

    def __init__(self, flying: FlyingTransformer) -> None:
        super().__init__()
        self.flying = flying
        self.example_states = flying.initial_states(1)
        config, returns = flying.network.config, ERROR in self.example_states
        self.inputs = ["observation"]
        if config.sees_last_action or returns:
            self.inputs.append(LAST_ACTION)
        if returns:
            self.inputs.append(TARGET)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return zeros in the shapes of the inputs."""
        sizes = {"observation": OBSERVATION_SIZE, LAST_ACTION: ACTION_SIZE, TARGET: 1}
        like = self.flying.network.readout.weight
        return tuple(like.new_zeros(1, sizes[name]) for name in self.inputs)

    def forward(self, observation: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip([*self.inputs[1:], *self.example_states], values, strict=True))
        last = given.pop(LAST_ACTION, observation[:, :ACTION_SIZE] * 0.0)
        target = given.pop(TARGET, observation[:, :1] * 0.0)
        with torch.no_grad():
            action, following, spikes = self.flying(observation, last, target, given)
        # What is only passed on would be an input without a name of its own among the outputs.
        return (action, *following.values(), *spikes.values())


def _layers(network: DecisionTransformer) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "neurons": neurons,
            "fan_in": inputs,
            "fan_out": outputs,
            "silence": SILENCE,
        }
        for name, (neurons, inputs, outputs) in network.layers.items()
    ]


def _conditions(flying: FlyingTransformer) -> dict[str, Any]:
    """Return what may be asked for in flight, if anything."""
    if ERROR not in flying.initial_states(1):
        return {}
    limits = flying.conditioning
    return {TARGET: limits.target, "target_return_range": [limits.low, limits.high]}


def _fly(
    flying: FlyingTransformer, observations: NDArray[np.float32]
) -> tuple[dict[str, Rows], Rows, float]:
    """Return inputs, actions and margin of a flight, for the self-test."""
    inputs, actions, margin = _run(flying, torch.from_numpy(observations))
    return {name: inputs[name] for name in _TransformerTick(flying).inputs}, actions, margin


def _run(flying: FlyingTransformer, observations: Tensor) -> tuple[dict[str, Rows], Rows, float]:
    """Return inputs and actions tick by tick, and the least distance of U from its threshold."""
    states, margin = flying.initial_states(1), float("inf")
    action, target = torch.zeros(1, ACTION_SIZE), torch.full((1, 1), flying.conditioning.target)
    thresholds = _thresholds(flying)
    inputs: dict[str, Rows] = {"observation": [], LAST_ACTION: [], TARGET: []}
    actions = []
    for observation in observations[:, None]:
        for name, value in zip(inputs, (observation, action, target), strict=True):
            inputs[name].append(value[0].tolist())
        with torch.no_grad():
            action, states, _ = flying(observation, action, target, states)
        actions.append(action[0].tolist())
        margin = min([margin, *_distances(states, thresholds)])
    return inputs, actions, margin


def _thresholds(flying: FlyingTransformer) -> dict[str, Tensor]:
    """Return the threshold of U of every spiking layer, by the name of its state."""
    found = {}
    for name, layer in flying.network.named_modules():
        if isinstance(layer, Membranes):
            parts = name.split(".")  # blocks.<index>.membranes.<part>, or last
            own = f"block{int(parts[1]) + 1}_{parts[3]}" if len(parts) == 4 else parts[0]
            found[f"membrane_{own}"] = layer.constants()[1]
    return found


def _distances(states: NamedStates, thresholds: dict[str, Tensor]) -> list[float]:
    return [float((states[name] - x).abs().min()) for name, x in thresholds.items()]


@dataclass
class Args:
    """Export the best policy of a run of training/decision_transformer.py again."""

    run: Path
    """Folder of the training run, runs/NAME."""
    output: Path
    """The policy file to write."""
    plasticity: PlasticityConfig = field(default_factory=PlasticityConfig)
    """Rule by which the policy learns on in flight."""


def main(args: Args) -> None:
    """Export as the arguments say.

    Raises:
        UserError: The run has no usable checkpoint or policy.
    """
    weights, provenance = load_best(args.run, "decision_transformer")
    network = DecisionTransformer(transformer_config(provenance["config"]["network"]))
    network.load_state_dict(weights)
    before = Policy.load(args.run / "policy.onnx").metadata
    quadrotor = load_quadrotor(before.airframe)
    low, high = before.target_return_range
    limits = Conditioning(before.target_return or 0.0, low, high, float(quadrotor.hover_throttle))
    flying = FlyingTransformer(network, limits, args.plasticity)
    export_transformer(
        flying, args.output, ArtifactInfo(before.airframe, provenance=before.provenance)
    )
    sys.stdout.write(f"wrote {args.output}\n")
