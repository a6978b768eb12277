"""Networks out of policy files: the weights that were exported, and sentences for other files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_controller.policy.artifact import ZERO_DIGEST, read_artifact, seal
from snn_controller.policy.runtime import Policy
from snn_training.artifacts.export import export_policy
from snn_training.artifacts.file import ArtifactInfo
from snn_training.artifacts.load import load_network
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import make_network

SMALL: dict[str, Any] = {"hidden": (12, 8), "input_gain": 20.0}


def export(folder: Path, config: NetworkConfig) -> Path:
    made = make_network(config, generator=torch.Generator().manual_seed(3))
    shape = {**config.__dict__, "hidden": list(config.hidden)}
    info = ArtifactInfo("crazyflie21", provenance={"config": {"network": shape}})
    export_policy(made, folder / "policy.onnx", info)
    return folder / "policy.onnx"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"readout": "leaky", "action_feedback": True},
        {"synapse": "current", "recurrent": True, "reset": "hard", "readout": "leaky"},
        {"kind": "mlp"},
        {"kind": "gru"},
        {"kind": "mlp_history"},
    ],
)
def test_all_weights_come_back(tmp_path: Path, options: dict[str, Any]) -> None:
    config = NetworkConfig(**SMALL, **options)
    trained = make_network(config, generator=torch.Generator().manual_seed(3))
    for source in (export(tmp_path, config), tmp_path):  # a run's folder holds the file
        loaded, metadata = load_network(source)
        assert loaded.config == config and metadata.control_rate == 100.0
        assert type(loaded) is type(trained)
        for name, value in trained.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_shipped_policy_can_be_trained_on() -> None:
    network, _ = load_network(policy_path("hover"))
    policy, states = Policy.load(policy_path("hover")), network.initial_states(1)
    step = network.stepper()
    for observation in np.random.default_rng(0).normal(0.0, 0.2, (5, 18)).astype(np.float32):
        action, states, _ = step(torch.from_numpy(observation[None]), states)
        np.testing.assert_allclose(action.detach()[0], policy.step(observation), atol=1e-3)
    assert all(x.requires_grad for x in network.parameters())


def rewrite(path: Path, key: str, value: Any) -> Path:
    model = onnx.load_from_string(read_artifact(path))
    for entry in model.metadata_props:
        if entry.key in (key, "digest"):
            entry.value = json.dumps(value if entry.key == key else ZERO_DIGEST)
    path.write_bytes(seal(model.SerializeToString(deterministic=True)))
    return path


@pytest.mark.slow
def test_files_of_others_are_one_sentence(tmp_path: Path) -> None:
    path = export(tmp_path, NetworkConfig(**SMALL))
    with pytest.raises(UserError, match="does not say how its network is made"):
        load_network(rewrite(path, "provenance", {}))
    other = {**NetworkConfig(**SMALL).__dict__, "hidden": [12, 8], "kind": "mlp"}
    with pytest.raises(UserError, match="has other weights than its configuration says"):
        load_network(rewrite(path, "provenance", {"config": {"network": other}}))
    fewer = {**NetworkConfig(**SMALL).__dict__, "hidden": [8]}
    with pytest.raises(UserError, match="has other weights than its configuration says"):
        load_network(rewrite(path, "provenance", {"config": {"network": fewer}}))
    faster = {**NetworkConfig(**SMALL).__dict__, "hidden": [12, 8], "reset": "hard"}
    with pytest.raises(UserError, match=r"has other weights|do not give its actions"):
        load_network(rewrite(path, "provenance", {"config": {"network": faster}}))
    with pytest.raises(UserError, match="does not exist"):
        load_network(tmp_path / "none.onnx")
