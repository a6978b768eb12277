"""The file of an artifact, whatever network is in it: graph, metadata, self-test and digest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import torch
from snn_controller.action import ACTION_MAPPINGS, ActionKind
from snn_controller.artifact import FORMAT_VERSION, ZERO_DIGEST, seal
from snn_controller.errors import UserError
from snn_controller.files import write_atomically
from snn_controller.observation import OBSERVATION_VERSION
from torch import nn

from training.self_test import Flown, find_self_test


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
