"""The file of an artifact, whatever network is in it: graph, metadata, self-test and digest."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_controller.errors import UserError
from snn_controller.policy import FORMAT_VERSION, ZERO_DIGEST, seal
from snn_controller.system import write_atomically
from snn_controller.vehicle import (
    ACTION_MAPPINGS,
    OBSERVATION_VERSION,
    ActionKind,
    Reference,
    State,
    axis_angle_to_quaternion,
    observe,
)

OPSET_VERSION = 18
IR_VERSION = 8  # the one that belongs to opset 18, so that older onnxruntimes load it
LAST_ACTION = "last_applied_action"  # its name in a graph
TICKS = 20
TOLERANCE = 1e-4  # of an action
MARGIN = 1e-5  # no membrane comes nearer to its threshold
CANDIDATES = 1000

Rows: TypeAlias = list[list[float]]  # one a tick
# Observations (ticks, 18) -> all inputs of the graph by name, actions, and how near a membrane
# came to its threshold: infinitely far in a network without spikes.
Flown: TypeAlias = Callable[[NDArray[np.float32]], tuple[Mapping[str, Rows], Rows, float]]


def find_self_test(fly: Flown) -> dict[str, Any]:
    """Return the first made-up flight in which rounding cannot flip a spike, as metadata.

    Raises:
        UserError: There is none.
    """
    for candidate in range(CANDIDATES):
        observations = flight_like_observations(TICKS, np.random.default_rng(candidate))
        inputs, actions, margin = fly(observations)
        if margin > MARGIN:
            return {"inputs": dict(inputs), "actions": actions, "tolerance": TOLERANCE}
    raise UserError(
        "no self-test sequence keeps all membranes off their thresholds; train the network again"
    )


def flight_like_observations(ticks: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return observations (ticks, 18) of a made-up flight that swings around its target."""
    time = np.arange(ticks)[:, None] * 0.01
    amplitude = rng.uniform(0.2, 1.0, 12) * np.repeat([0.3, 0.5, 1.0, 2.0], 3)
    waves = amplitude * np.sin(rng.uniform(2.0, 12.0, 12) * time + rng.uniform(0.0, 6.3, 12))
    position, tilt, velocity, rates = np.split(waves, 4, axis=1)
    angle = np.linalg.norm(tilt, axis=1)
    quaternion = axis_angle_to_quaternion(tilt / np.maximum(angle, 1e-9)[:, None], angle)
    return observe(State(position, quaternion, velocity, rates), Reference(np.zeros(3)))


@dataclass(frozen=True)
class ArtifactInfo:
    """What the metadata says beyond the network itself."""

    airframe: str
    action_kind: ActionKind = "motors"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    spike_statistics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tick:
    """What the metadata says of a network's tick."""

    control_rate: float  # Hz
    layers: Iterable[Mapping[str, Any]]  # of spiking neurons
    input_macs: int  # multiply-accumulates of real numbers
    fly: Flown
    more: Mapping[str, Any] = field(default_factory=dict)


def require_finite(network: nn.Module) -> None:
    """Refuse a network that diverged.

    Raises:
        UserError: It has weights that are not finite.
    """
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise UserError("the network has weights that are not finite; train it again")


def write_artifact(path: Path, model: onnx.ModelProto, tick: Tick, info: ArtifactInfo) -> None:
    """Write a graph with what the runtime needs to know of it, atomically.

    Raises:
        UserError: No self-test can be made, or the file cannot be written.
    """
    for key, value in {**_metadata(tick, info), "digest": ZERO_DIGEST}.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    write_atomically(path, seal(model.SerializeToString(deterministic=True)))


def _metadata(tick: Tick, info: ArtifactInfo) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "observation_version": OBSERVATION_VERSION,
        "action_kind": info.action_kind,
        "action_mapping": ACTION_MAPPINGS[info.action_kind],
        "control_rate": tick.control_rate,
        "airframe": info.airframe,
        "layers": list(tick.layers),
        "input_macs": tick.input_macs,
        "provenance": dict(info.provenance),
        "evaluation": dict(info.evaluation),
        "spike_statistics": dict(info.spike_statistics),
        "self_test": find_self_test(tick.fly),
        **tick.more,
    }


def trace_tick(
    step: nn.Module, examples: tuple[Tensor, ...], inputs: Sequence[str], outputs: Iterable[str]
) -> onnx.ModelProto:
    """Return the graph of a module's forward pass.

    Args:
        step: The module; it takes and gives tensors alone.
        examples: Its inputs, in shape and precision.
        inputs: Their names.
        outputs: Names of what it gives.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step.eval(),
            examples,
            input_names=inputs,
            output_names=list(outputs),
            opset_version=OPSET_VERSION,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return _clean(program.model_proto)


def _clean(model: onnx.ModelProto) -> onnx.ModelProto:
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
