"""Export a trained network to `policy.onnx`: graph, metadata, self-test and digest.

python training/export.py --run runs/NAME --output policy.onnx
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from snn_controller.action import ACTION_MAPPINGS, ACTION_SIZE, ActionKind
from snn_controller.artifact import FORMAT_VERSION, ZERO_DIGEST, seal
from snn_controller.errors import UserError
from snn_controller.frames import axis_angle_to_quaternion
from snn_controller.observation import OBSERVATION_SIZE, OBSERVATION_VERSION, observe
from snn_controller.state import Reference, State
from torch import Tensor, nn

from training.command import run_command
from training.files import write_atomically
from training.networks import Network, SpikingPolicy
from training.runs import load_checkpoint

OPSET_VERSION = 18
IR_VERSION = 8  # the one that belongs to opset 18, so that older onnxruntimes load it
LAST_ACTION = "last_applied_action"  # its name in a graph
SELF_TEST_TICKS = 20
SELF_TEST_TOLERANCE = 1e-4
SELF_TEST_MARGIN = 1e-5  # no membrane comes nearer to its threshold in the self-test
SELF_TEST_CANDIDATES = 1000


@dataclass(frozen=True)
class ArtifactInfo:
    """What the metadata says beyond the network itself."""

    airframe: str
    action_kind: ActionKind = "motors"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    spike_statistics: Mapping[str, Any] = field(default_factory=dict)


def export_policy(policy: Network, path: Path, info: ArtifactInfo) -> None:
    """Write the artifact of a network, atomically.

    Raises:
        UserError: The network has weights that are not finite, or the file cannot be written.
    """
    if not all(bool(torch.isfinite(value).all()) for value in policy.state_dict().values()):
        raise UserError("the network has weights that are not finite; train it again")
    step = _Step(policy)
    model = _to_onnx(step, policy)
    for key, value in _metadata(policy, step, info).items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    model.metadata_props.add(key="digest", value=json.dumps(ZERO_DIGEST))
    write_atomically(path, seal(model.SerializeToString(deterministic=True)))


def export_benchmark(policy: Network, path: Path, control_rate: float, airframe: str) -> None:
    """Write an artifact that ticks at another rate in Hz, to measure timing with.

    Time constants keep their value in s, but the network was not trained at that rate.
    """
    note = f"re-discretised to {control_rate:g} Hz without training, for benchmarks only"
    info = ArtifactInfo(airframe=airframe, provenance={"benchmark": note})
    if not isinstance(policy, SpikingPolicy):
        raise UserError("only spiking networks have time constants; train at that rate instead")
    export_policy(policy.at_rate(control_rate), path, info)


def graph_of(policy: Network) -> onnx.ModelProto:
    """Return the bare graph of a network's tick, without metadata."""
    return _to_onnx(_Step(policy), policy)


def replay_actions(policy: Network, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the actions (ticks, 4) that a network gives after a reset, flown as it gives them."""
    return _run(policy, _Step(policy), observations)[0]


class _Step(nn.Module):
    """One tick with fixed weights, as the graph that is exported."""

    def __init__(self, policy: Network) -> None:
        super().__init__()
        if isinstance(policy, SpikingPolicy):
            self.layers = policy.policy_weights().convert(Tensor.detach).layers
        else:
            self.layers, self.network = (), policy  # as a part, so that its weights are found
        self.step = policy.stepper()
        self.states = len(policy.state_names)  # without the action, which the runtime keeps

    def forward(self, observation: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        action, following, spikes = self.step(observation, states)
        return (action, *following[: self.states], *spikes)


def _to_onnx(step: _Step, policy: Network) -> onnx.ModelProto:
    names = policy.state_names
    outputs = (f"{name}_next" for name in names), (f"spikes_{x}" for x in policy.layer_names)
    feedback = [LAST_ACTION] if sees_last_action(policy) else []
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step.eval(),
            (torch.zeros(1, OBSERVATION_SIZE), *policy.initial_states()),
            input_names=["observation", *names, *feedback],
            output_names=["action", *(name for group in outputs for name in group)],
            opset_version=OPSET_VERSION,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return clean_graph(program.model_proto)


def sees_last_action(policy: Network) -> bool:
    """Whether a network takes its last action as an input."""
    return isinstance(policy, SpikingPolicy) and policy.config.action_feedback


def clean_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes (stack traces with paths of this computer), pin the version."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "snn_controller", "", ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:], model.graph.value_info[:]
    model.graph.doc_string = ""
    for item in (*model.graph.node, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    onnx.checker.check_model(model)
    return model


def _metadata(policy: Network, step: _Step, info: ArtifactInfo) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "observation_version": OBSERVATION_VERSION,
        "action_kind": info.action_kind,
        "action_mapping": ACTION_MAPPINGS[info.action_kind],
        "control_rate": policy.config.control_rate,
        "airframe": info.airframe,
        "layers": _layers(policy, step),
        "input_macs": policy.multiply_accumulates,
        "provenance": dict(info.provenance),
        "evaluation": dict(info.evaluation),
        "spike_statistics": dict(info.spike_statistics),
        "self_test": _self_test(policy, step),
    }


def _layers(policy: Network, step: _Step) -> list[dict[str, Any]]:
    """Return name, size and synapses of each spiking layer.

    A recurrent layer drives itself too, and the first may see the last action.
    """
    outputs = [*(x.weight.shape[1] for x in step.layers[1:]), ACTION_SIZE]
    layers = []
    for name, layer, following in zip(policy.layer_names, step.layers, outputs, strict=False):
        inputs, neurons = map(int, layer.weight.shape)
        own = neurons if layer.recurrent is not None else 0
        fed_back = ACTION_SIZE if sees_last_action(policy) and not layers else 0
        layers.append(
            {
                "name": name,
                "neurons": neurons,
                "fan_in": inputs + own + fed_back,
                "fan_out": int(following) + own,
            }
        )
    return layers


def _self_test(policy: Network, step: _Step) -> dict[str, Any]:
    """Find a sequence in which rounding cannot flip a spike, and the actions the network gives."""
    for candidate in range(SELF_TEST_CANDIDATES):
        observations = flight_like_observations(SELF_TEST_TICKS, np.random.default_rng(candidate))
        actions, margin = _run(policy, step, observations)
        if margin > SELF_TEST_MARGIN:
            inputs = {"observation": observations}
            if sees_last_action(policy):
                inputs[LAST_ACTION] = np.concatenate([np.zeros_like(actions[:1]), actions[:-1]])
            return {
                "inputs": {name: rows.tolist() for name, rows in inputs.items()},
                "actions": actions.tolist(),
                "tolerance": SELF_TEST_TOLERANCE,
            }
    raise UserError(
        "no self-test sequence keeps all membranes off their thresholds; train the network again"
    )


def _run(
    policy: Network, step: _Step, observations: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Return the actions (ticks, 4) and the smallest distance of a membrane from its threshold."""
    states, actions, margin = policy.initial_states(), [], float("inf")
    with torch.no_grad():
        for observation in torch.from_numpy(observations):
            action, *rest = step(observation[None], *states)
            states = tuple(rest[: step.states])
            states = (*states, action) if sees_last_action(policy) else states
            actions.append(action[0].numpy())
            for membrane, layer in zip(states, step.layers, strict=False):
                margin = min(margin, float((membrane - layer.threshold).abs().min()))
    return np.stack(actions), margin


def flight_like_observations(ticks: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return observations (ticks, 18) of a made-up flight that swings around its target."""
    time = np.arange(ticks)[:, None] * 0.01
    amplitude = rng.uniform(0.2, 1.0, 12) * np.repeat([0.3, 0.5, 1.0, 2.0], 3)
    waves = amplitude * np.sin(rng.uniform(2.0, 12.0, 12) * time + rng.uniform(0.0, 6.3, 12))
    position, tilt, velocity, rates = np.split(waves, 4, axis=1)
    angle = np.linalg.norm(tilt, axis=1)
    quaternion = axis_angle_to_quaternion(tilt / np.maximum(angle, 1e-9)[:, None], angle)
    return observe(State(position, quaternion, velocity, rates), Reference(np.zeros(3)))


@dataclass
class Args:
    """Export the checkpoint of a run to a policy file."""

    run: Path
    """Folder of the training run, runs/NAME."""
    output: Path
    """The policy file to write."""
    control_rate: float | None = None
    """Make a benchmark artifact at this rate in Hz instead of the trained rate."""


def main(args: Args) -> None:
    """Export as the arguments say."""
    policy, provenance = load_checkpoint(args.run)
    config = provenance.get("config", {})
    airframe = str(config.get("airframe", "crazyflie21"))
    if args.control_rate is not None:
        if not 1.0 <= args.control_rate <= 10_000.0:
            raise UserError("--control-rate must be between 1 and 10000 Hz")
        export_benchmark(policy, args.output, args.control_rate, airframe)
    else:
        info = ArtifactInfo(
            airframe,
            config.get("action_kind", "motors"),
            provenance={k: v for k, v in provenance.items() if k != "spike_statistics"},
            spike_statistics=provenance.get("spike_statistics", {}),
        )
        export_policy(policy, args.output, info)
    sys.stdout.write(f"wrote {args.output}\n")


if __name__ == "__main__":
    run_command(main, Args)
