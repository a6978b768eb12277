"""The artifact of a decision transformer: same actions as the network, in the unchanged runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.artifact import read_artifact
from snn_controller.policy.runtime import Policy
from snn_training.artifacts.file import ArtifactInfo
from snn_training.artifacts.transformer import export_transformer, tick_graph
from snn_training.networks.transformer.in_flight import Conditioning, FlyingTransformer
from snn_training.neurons.plasticity import PlasticityConfig
from snn_training.rollouts.batched_policy import BatchedPolicy
from support.transformer_samples import tokens, transformer

LIMITS = Conditioning(target=450.0, low=100.0, high=490.0, hover_throttle=0.6)
INFO = ArtifactInfo("crazyflie21")


def write(path: Path, plastic: bool = False, **options: Any) -> tuple[FlyingTransformer, Path]:
    rule = PlasticityConfig(enabled=plastic)
    flying = FlyingTransformer(transformer(**options), LIMITS, rule)
    export_transformer(flying, path, INFO)
    return flying, path


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kind": "dense"},
        {"plastic": True},
        {"readout": "spikes", "phase": False, "routing": False},
        {"conditioned": False},
        {"conditioned": False, "sees_last_action": False},
    ],
    ids=str,
)
def test_the_runtime_flies_it_for_many_drones_as_for_one(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    _, path = write(tmp_path / "p.onnx", **options)
    policy = Policy.load(path)  # its self-test compares with the network
    batched = BatchedPolicy(policy, 3)
    assert not batched.row_by_row
    conditioned = options.get("conditioned", True)
    assert policy.metadata.target_return == (450.0 if conditioned else None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spiking", "dense"])
def test_two_thousand_ticks_of_the_graph_are_the_forward_pass_of_training(kind: str) -> None:
    """In double precision, where rounding flips no spike, and through onnxruntime."""
    network = transformer(kind=kind).double()
    flying = FlyingTransformer(network, LIMITS)
    session = onnxruntime.InferenceSession(tick_graph(flying).SerializeToString())
    states = {name: x.numpy() for name, x in flying.initial_states(1).items()}
    observations = tokens(2000, 1)[0].double()
    names = [node.name for node in session.get_outputs()]
    action, flown, returns = np.zeros((1, 4)), [], []
    errors = []
    for observation in observations.numpy():
        flown.append(action)
        given = {"observation": observation, "last_applied_action": action}
        given["target_return"] = np.full((1, 1), 450.0)
        outputs = dict(zip(names, session.run(names, {**given, **states}), strict=True))
        states = {name: outputs[f"{name}_next"] for name in states}
        action = outputs["action"]
        returns.append(np.clip(450.0 + 500.0 * states["return_error"], 100.0, 490.0) / 500.0)
        errors.append(action)
    with torch.no_grad():
        whole, _, _ = network(
            observations,
            torch.from_numpy(np.stack(flown)),
            torch.from_numpy(np.stack(returns)),
            {
                name: x if x.dtype == torch.long else x.double()
                for name, x in network.initial_states(1).items()
            },
        )
    assert np.abs(np.stack(errors) - whole.numpy()).max() < 1e-5


@pytest.mark.slow
def test_the_file_is_clean_and_says_what_it_holds(tmp_path: Path) -> None:
    flying, path = write(tmp_path / "p.onnx")
    model = onnx.load_from_string(read_artifact(path))
    assert {node.domain for node in model.graph.node} == {""}
    assert b".py" not in path.read_bytes()
    policy = Policy.load(path)
    layers = {layer.name: layer for layer in policy.metadata.layers}
    assert list(layers) == list(flying.network.layers)
    assert layers["block1_heads"].neurons == 96
    assert layers["block1_entry"].fan_out == 96
    assert policy.metadata.input_macs == flying.network.multiply_accumulates
    assert path.read_bytes() == write(tmp_path / "q.onnx")[1].read_bytes()


@pytest.mark.slow
def test_counted_spikes_are_those_of_the_rasters(tmp_path: Path) -> None:
    flying, path = write(tmp_path / "p.onnx")
    policy = Policy.load(path)
    states, action = flying.initial_states(1), torch.zeros(1, 4)
    for observation in tokens(15, 1)[0]:
        with torch.no_grad():
            action, states, spikes = flying(
                observation, action, torch.full((1, 1), LIMITS.target), states
            )
        policy.step(observation[0].numpy())
        expected = sum(
            int(fired.sum()) * flying.network.layers[name][2] for name, fired in spikes.items()
        )
        assert policy.synaptic_ops == expected > 0


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = transformer()
    with torch.no_grad():
        network.embedding.weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        export_transformer(FlyingTransformer(network, LIMITS), tmp_path / "p.onnx", INFO)
