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
from snn_training.networks import Network, NetworkConfig, SpikingPolicy, make_network
from snn_training.runs import POLICY

PREFIX = "network."  # of the weights of networks without spikes
TOLERANCE = 1e-3  # of an action of the self-test, after the time constants' logarithms and back
Weights = dict[str, NDArray[Any]]


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
        network = _spiking(config, weights) if config.kind == "spiking" else _plain(config, weights)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{path} has other weights than its configuration says ({error}); start from a policy "
            "that this release trained"
        ) from error
    _check(network, metadata, path)
    return network, metadata


def weights_of(model: onnx.ModelProto) -> Weights:
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


def _plain(config: NetworkConfig, weights: Weights) -> Network:
    network = make_network(config)
    named = {k.removeprefix(PREFIX): torch.from_numpy(x) for k, x in weights.items()}
    network.load_state_dict({name: named[name] for name in network.state_dict()})
    return network


def _spiking(config: NetworkConfig, weights: Weights) -> Network:
    generator = torch.Generator().manual_seed(0)
    network = SpikingPolicy(config, generator=generator)
    with torch.no_grad():
        for parameter in network.parameters():  # so that no two of them are equal
            parameter.add_(1e-2 * torch.rand(parameter.shape, generator=generator))
    names = _names(network)
    if set(weights) != set(weights_of(graph_of(network))):
        raise ValueError("its tensors have other names")
    with torch.no_grad():
        _fill(network, {place: torch.from_numpy(weights[name]) for place, name in names.items()})
    return network


def _names(network: SpikingPolicy) -> dict[tuple[int, str], str]:
    """Return layer (-1 for the whole policy) and field -> name of the tensor in the graph."""
    exported, names = weights_of(graph_of(network)), {}
    weights = network.policy_weights().convert(lambda x: x.detach().numpy())
    fields = {(-1, k): x for k, x in weights._asdict().items() if isinstance(x, np.ndarray)}
    for index, layer in enumerate(weights.layers):
        known = layer._asdict().items()
        fields |= {(index, k): x for k, x in known if isinstance(x, np.ndarray)}
    for place, values in fields.items():
        names[place] = next(k for k, x in exported.items() if np.array_equal(x, values))
    return names


def _fill(network: SpikingPolicy, values: Mapping[tuple[int, str], Tensor]) -> None:
    """Give every parameter the value that the weights of a tick come from."""
    rate, scale = network.config.control_rate, torch.as_tensor(network.observation_scale)[:, None]
    for index, weight in enumerate(network.weights):
        given = values[index, "weight"]
        weight.copy_(given / scale if index == 0 else given)
        network.biases[index].copy_(values[index, "bias"])
        network.log_time_constants[index].copy_(_log_time_constant(values[index, "beta"], rate))
        network.raw_thresholds[index].copy_(torch.log(torch.expm1(values[index, "threshold"])))
        if network.config.recurrent:
            network.recurrent_weights[index].copy_(values[index, "recurrent"])
        if network.config.synapse == "current":
            constant = _log_time_constant(values[index, "alpha"], rate)
            network.synapse_log_time_constants[index].copy_(constant)
    network.readout_weight.copy_(values[-1, "readout_weight"])
    network.readout_bias.copy_(values[-1, "readout_bias"])
    if network.config.readout == "leaky":
        constant = _log_time_constant(values[-1, "readout_beta"], rate)
        network.readout_log_time_constant.copy_(constant)
    if network.config.action_feedback:
        network.feedback_weight.copy_(values[-1, "feedback"])


def _log_time_constant(decay: Tensor, rate: float) -> Tensor:
    return -torch.log(-torch.log(decay.double()) * rate).float()


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
