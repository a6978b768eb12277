"""Policy artifacts for tests, made from untrained networks, and altered on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch

from snn_controller.policy.artifact import ZERO_DIGEST, seal
from snn_training.artifacts.export import export_policy
from snn_training.artifacts.file import ArtifactInfo
from snn_training.networks.config import NetworkConfig
from snn_training.networks.spiking import SpikingPolicy


def untrained(seed: int = 0, **options: Any) -> SpikingPolicy:
    """Return an untrained network."""
    generator = torch.Generator().manual_seed(seed)
    return SpikingPolicy(NetworkConfig(**options), generator=generator)


def write_artifact(path: Path, seed: int = 0, **options: Any) -> Path:
    """Write the artifact of an untrained network and return its path."""
    export_policy(untrained(seed, **options), path, ArtifactInfo("crazyflie21"))
    return path


def edit(
    source: Path,
    target: Path,
    *,
    metadata: dict[str, Any] | None = None,
    graph: Callable[[onnx.ModelProto], None] | None = None,
) -> Path:
    """Write a changed copy of an artifact with a digest that is right again.

    Args:
        source: Artifact to start from.
        target: Where the copy goes.
        metadata: Keys to set; None removes the key.
        graph: Changes the model in place.
    """
    model = onnx.load_from_string(source.read_bytes())
    values = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    for key, value in (metadata or {}).items():
        values.pop(key, None)
        if value is not None:
            values[key] = json.dumps(value)
    if graph is not None:
        graph(model)
    for key, text in {**values, "digest": json.dumps(ZERO_DIGEST)}.items():
        model.metadata_props.add(key=key, value=text)
    target.write_bytes(seal(model.SerializeToString(deterministic=True)))
    return target
