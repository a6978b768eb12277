"""What the export writes: a clean, reproducible, self-testing file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.artifact import read_artifact
from snn_controller.policy.runtime import Policy
from snn_training.artifacts.export import export_benchmark, export_policy
from snn_training.artifacts.file import ArtifactInfo, flight_like_observations
from snn_training.networks.make import numpy_weights
from snn_training.runs.folder import load_actor
from support.finished_runs import save_network, save_old_network
from support.places import ROOT
from support.sample_artifacts import untrained, write_artifact


@pytest.mark.slow
def test_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    one = write_artifact(tmp_path / "a.onnx").read_bytes()
    assert one == write_artifact(tmp_path / "b.onnx").read_bytes()
    assert one != write_artifact(tmp_path / "c.onnx", seed=1).read_bytes()


def test_the_file_holds_plain_operators_and_no_paths(tmp_path: Path) -> None:
    content = write_artifact(tmp_path / "a.onnx").read_bytes()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    for word in (b"stack_trace", b".py", b"/home", str(Path.cwd()).encode()):
        assert word not in content
    assert len(content) < 300_000


def test_metadata_is_json_and_carries_what_was_given(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    info = ArtifactInfo(
        "crazyflie21",
        provenance={"seed": 4},
        evaluation={"standard": {"survival": 0.9}},
        spike_statistics={"rate_per_tick": {"lif1": 0.1}},
    )
    export_policy(untrained(), path, info)
    for entry in onnx.load_from_string(read_artifact(path)).metadata_props:
        json.loads(entry.value)
    metadata = Policy.load(path).metadata
    assert metadata.provenance == {"seed": 4}
    assert metadata.evaluation["standard"] == {"survival": 0.9}
    assert metadata.spike_statistics["rate_per_tick"] == {"lif1": 0.1}


def test_self_test_keeps_membranes_off_their_thresholds(tmp_path: Path) -> None:
    policy = Policy.load(write_artifact(tmp_path / "a.onnx"))
    thresholds = [layer.neuron[1] for layer in numpy_weights(untrained()).layers]
    closest, spikes = np.inf, 0
    for observation in policy.metadata.self_test.inputs["observation"]:
        policy.step(observation)
        spikes += sum(int(x.sum()) for x in policy.spikes.values())
        for threshold, membrane in zip(thresholds, policy.membranes.values(), strict=True):
            closest = min(closest, np.abs(membrane - threshold).min())
    assert closest > 0.9e-5
    assert spikes > 20  # it exercises the spiking part


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    policy = untrained()
    with torch.no_grad():
        policy.biases[0][3] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        export_policy(policy, tmp_path / "a.onnx", ArtifactInfo("crazyflie21"))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write_artifact(tmp_path / "file" / "a.onnx")


def test_benchmark_artifact_ticks_at_its_rate(tmp_path: Path) -> None:
    export_benchmark(untrained(), tmp_path / "fast.onnx", 500.0, "crazyflie21")
    policy = Policy.load(tmp_path / "fast.onnx", control_rate=500.0)
    assert "benchmark" in policy.metadata.provenance


def test_flight_like_observations_are_flight_like() -> None:
    observations = flight_like_observations(500, np.random.default_rng(0))
    rotation = observations[:, 3:12].reshape(-1, 3, 3)
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (500, 3, 3)), atol=1e-5
    )
    assert np.abs(observations[:, :3]).max() <= 0.6
    assert np.abs(np.diff(observations, axis=0)).max() < 0.5


@pytest.mark.parametrize("save", [save_network, save_old_network])
def test_checkpoint_round_trip_and_damage(tmp_path: Path, save: Callable[..., None]) -> None:
    policy = untrained(3, hidden=(8, 4))
    save(tmp_path, policy)
    loaded, provenance = load_actor(tmp_path)
    assert provenance["seed"] == 3
    for one, other in zip(policy.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(one, other)
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be used"):
        load_actor(tmp_path)
    with pytest.raises(UserError, match="holds no"):
        load_actor(tmp_path / "elsewhere")


@pytest.mark.slow
def test_command_line_exports_a_run(tmp_path: Path) -> None:
    save_network(tmp_path / "run", untrained(), airframe="crazyflie21")
    output = tmp_path / "policy.onnx"
    script = ROOT / "training" / "export.py"
    command = [sys.executable, str(script), "--output", str(output), "--run"]
    done = subprocess.run([*command, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Policy.load(output).metadata.airframe == "crazyflie21"
    done = subprocess.run([*command, str(tmp_path / "none")], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
