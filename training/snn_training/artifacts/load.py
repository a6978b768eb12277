"""A trainable network with the weights of a policy file, to train it on.

Which tensor of the graph is which weight is found by exporting a network of the same shape with
known weights. That it is right is checked by the file's own self-test.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from snn_controller.errors import UserError
from snn_controller.policy import Policy, PolicyMetadata, read_artifact
from snn_controller.vehicle import OBSERVATION_VERSION
from snn_training.artifacts.export import graph_of, replay_actions
from snn_training.networks import (
    BASELINES,
    Network,
    NetworkConfig,
    SpikingPolicy,
    make_network,
)
from snn_training.runs import POLICY

PREFIX = "network."  # of the weights of networks without spikes
TOLERANCE = 1e-3  # of an action of the self-test, after the time constants' logarithms and back
GraphTensors = dict[str, NDArray[Any]]


def load_network(source: Path) -> tuple[Network, PolicyMetadata]:
    """Return the network of a policy file, or of a run's folder, and what the file says of itself.

    Raises:
        UserError: It is unusable, or was not trained by this project's networks.
    """
    path = source / POLICY if source.is_dir() else source
    metadata = Policy.load(path, observation_version=OBSERVATION_VERSION).metadata
    config = _config_of(metadata, path)
    weights = weights_of(onnx.load_from_string(read_artifact(path)))
    try:
        network = _plain(config, weights) if config.kind in BASELINES else _spiking(config, weights)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{path} has other weights than its configuration says ({error}); start from a policy "
            "that this release trained"
        ) from error
    _check(network, metadata, path)
    return network, metadata


def weights_of(model: onnx.ModelProto) -> GraphTensors:
    """Return all tensors of a graph by name."""
    return {x.name: np.array(numpy_helper.to_array(x)) for x in model.graph.initializer}


def _config_of(metadata: PolicyMetadata, path: Path) -> NetworkConfig:
    config = metadata.provenance.get("config", {})
    shape = config.get("network") if isinstance(config, Mapping) else None
    try:
        if not isinstance(shape, Mapping):
            raise TypeError("it names no network")
        return NetworkConfig(**{**shape, "hidden": tuple(shape["hidden"])})
    except (TypeError, KeyError) as error:
        raise UserError(
            f"{path} does not say how its network is made ({error}); start from a policy that "
            "bc.py, jsrl.py, td3bc.py, apg.py or iql.py trained"
        ) from error


def _plain(config: NetworkConfig, weights: GraphTensors) -> Network:
    network = make_network(config)
    named = {k.removeprefix(PREFIX): torch.from_numpy(x) for k, x in weights.items()}
    network.load_state_dict({name: named[name] for name in network.state_dict()})
    return network


def _spiking(config: NetworkConfig, weights: GraphTensors) -> Network:
    generator = torch.Generator().manual_seed(0)
    network = SpikingPolicy(config, generator=generator)
    with torch.no_grad():
        for parameter in network.parameters():  # so that no two of them are equal
            parameter.add_(1e-2 * torch.rand(parameter.shape, generator=generator))
    exported = weights_of(graph_of(network))
    if set(weights) != set(exported):
        raise ValueError("its tensors have other names")

    def given(known: Tensor) -> Tensor:
        values = known.detach().numpy()
        name = next(k for k, x in exported.items() if np.array_equal(x, values))
        return torch.from_numpy(weights[name])

    network.assign(network.policy_weights().convert(given))
    return network


def _check(network: Network, metadata: PolicyMetadata, path: Path) -> None:
    """Refuse weights with which the self-test comes out otherwise."""
    test = metadata.self_test
    observations = np.asarray(test.inputs["observation"], np.float32)
    actions = replay_actions(network, observations)
    error = np.abs(actions - np.asarray(test.actions)).max()
    if not error <= TOLERANCE:
        raise UserError(
            f"the weights of {path} do not give its actions (off by {error:.2g}); start from a "
            "policy that this release trained"
        )
