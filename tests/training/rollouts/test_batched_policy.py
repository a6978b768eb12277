"""A policy file for many drones at once does what the runtime in flight does for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from snn_controller.policy.runtime import Policy
from snn_training.artifacts.file import flight_like_observations
from snn_training.rollouts.batched_policy import BatchedPolicy
from support.sample_artifacts import edit, write_artifact

TICKS, DRONES = 30, 7


@pytest.fixture(scope="module", params=["spikes", "leaky"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return write_artifact(folder / "policy.onnx", hidden=(24, 12), readout=request.param)


def flights() -> NDArray[np.float32]:
    """Return observations (ticks, drones, 18) of another flight on every drone."""
    rows = [flight_like_observations(TICKS, np.random.default_rng(i)) for i in range(DRONES)]
    return np.stack(rows, axis=1)


def assert_flies_as_alone(policy: Policy, batched: BatchedPolicy) -> None:
    observations = flights()
    found = [batched.step(row).copy() for row in observations]
    operations = batched.synaptic_ops
    for drone in range(DRONES):
        policy.reset()
        alone = [policy.step(row[drone]) for row in observations]
        np.testing.assert_allclose(np.array(found)[:, drone], alone, atol=1e-5)
        assert operations[drone] == policy.synaptic_ops
        for layer, spikes in policy.spikes.items():
            np.testing.assert_array_equal(batched.spikes[layer][drone], spikes)


def test_every_row_is_the_flight_of_one_drone(artifact: Path) -> None:
    policy = Policy.load(artifact)
    batched = BatchedPolicy(policy, DRONES)
    assert not batched.row_by_row
    assert_flies_as_alone(policy, batched)


def test_reset_forgets_every_drone(artifact: Path) -> None:
    batched, observations = BatchedPolicy(Policy.load(artifact), DRONES), flights()
    first = [batched.step(row).copy() for row in observations]
    batched.reset()
    again = [batched.step(row).copy() for row in observations]
    np.testing.assert_array_equal(first, again)


def test_a_graph_that_insists_on_one_drone_is_run_drone_by_drone(
    artifact: Path, tmp_path: Path
) -> None:
    def fix_batch(model: onnx.ModelProto) -> None:
        """Let the action pass through a reshape that knows of one row only."""
        for node in model.graph.node:
            node.output[:] = ["loose" if name == "action" else name for name in node.output]
        shape = onnx.numpy_helper.from_array(np.array([1, 4]), "one_row")
        model.graph.initializer.append(shape)
        model.graph.node.append(helper.make_node("Reshape", ["loose", "one_row"], ["action"]))

    policy = Policy.load(edit(artifact, tmp_path / "fixed.onnx", graph=fix_batch))
    batched = BatchedPolicy(policy, DRONES)
    assert batched.row_by_row
    assert_flies_as_alone(policy, batched)


def test_a_graph_that_mixes_drones_is_found_out(artifact: Path, tmp_path: Path) -> None:
    def mix(model: onnx.ModelProto) -> None:
        """Subtract the mean over the rows, which is nothing but the mean itself for one row."""
        for node in model.graph.node:
            node.output[:] = ["own" if name == "action" else name for name in node.output]
        model.graph.node.extend(
            [
                helper.make_node("ReduceMean", ["own", "first_axis"], ["mean"], keepdims=1),
                helper.make_node("Identity", ["mean"], ["action"]),
            ]
        )
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "first_axis"))

    policy = Policy.load(edit(artifact, tmp_path / "mixing.onnx", graph=mix))
    batched = BatchedPolicy(policy, DRONES)
    assert batched.row_by_row
    assert_flies_as_alone(policy, batched)
