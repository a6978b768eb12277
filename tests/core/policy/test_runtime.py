"""Loading, refusing and ticking policy artifacts."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy, import_onnxruntime
from snn_controller.vehicle.action import ACTION_MAPPINGS
from snn_training.networks.make import numpy_weights
from support.places import ROOT
from support.sample_artifacts import edit, untrained, write_artifact

TELEMETRY = "ORT_DISABLE_TELEMETRY"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("artifact") / "policy.onnx")


def _observations(ticks: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0.0, 1.0, (ticks, 18)).astype(np.float32)


def test_metadata_tells_what_the_policy_is(good: Path) -> None:
    policy = Policy.load(good, airframe="crazyflie21", control_rate=100.0, action_kind="motors")
    metadata = policy.metadata
    assert (metadata.format_version, metadata.observation_version) == (1, 1)
    assert metadata.action_mapping == ACTION_MAPPINGS["motors"]
    assert [(x.name, x.neurons, x.fan_in, x.fan_out) for x in metadata.layers] == [
        ("lif1", 256, 18, 128),
        ("lif2", 128, 256, 4),
    ]
    assert metadata.input_macs == 18 * 256
    assert policy.sha256 == hashlib.sha256(good.read_bytes()).hexdigest()
    assert policy.path == good


def test_the_runtime_is_told_to_report_to_nobody(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    Policy.load(good)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_step_keeps_state_and_reset_forgets_it(good: Path) -> None:
    policy, observations = Policy.load(good), _observations(50)
    first = np.array([policy.step(x) for x in observations])
    still = np.array([policy.step(observations[-1]) for _ in range(2)])
    assert (still[0] != still[1]).any()  # same input, another state
    policy.reset()
    again = np.array([policy.step(x) for x in observations])
    assert (first == again).all()
    assert first.shape == (50, 4)
    assert first.dtype == np.float32


def test_a_fresh_policy_is_reset_after_its_self_test(good: Path) -> None:
    policy = Policy.load(good)
    assert all((x == 0).all() for x in policy.membranes.values())
    assert policy.synaptic_ops == 0


def test_spikes_membranes_and_synaptic_ops_belong_to_the_last_tick(good: Path) -> None:
    policy = Policy.load(good)
    for observation in _observations(20):
        policy.step(observation)
        spikes = policy.spikes
        assert policy.synaptic_ops == 128 * spikes["lif1"].sum() + 4 * spikes["lif2"].sum()
    assert spikes["lif1"].dtype == np.bool_
    assert spikes["lif1"].any()
    thresholds = [layer.neuron[1] for layer in numpy_weights(untrained()).layers]
    for threshold, (name, membrane) in zip(thresholds, policy.membranes.items(), strict=True):
        near = np.abs(membrane - threshold) < 1e-5
        assert ((membrane > threshold) == spikes[name])[~near].all()


def test_returned_arrays_are_copies(good: Path) -> None:
    policy, observations = Policy.load(good), _observations(3)
    action = policy.step(observations[0])
    kept, membranes = action.copy(), policy.membranes
    before = {name: x.copy() for name, x in membranes.items()}
    policy.step(observations[1])
    policy.step(observations[2])
    assert (action == kept).all()
    assert all((membranes[name] == before[name]).all() for name in before)


def test_state_that_is_not_finite_is_seen_and_reset_heals_it(good: Path) -> None:
    policy = Policy.load(good)
    assert policy.state_is_finite()
    policy.step(np.full(18, np.nan))
    assert not policy.state_is_finite()
    policy.reset()
    assert policy.state_is_finite()
    assert np.isfinite(policy.step(np.zeros(18))).all()


def test_two_policies_do_not_share_state(good: Path) -> None:
    one, other, observations = Policy.load(good), Policy.load(good), _observations(10)
    expected = [one.step(x) for x in observations]
    one.reset()
    for observation, action in zip(observations, expected, strict=True):
        other.step(np.zeros(18))
        assert (one.step(observation) == action).all()


@pytest.mark.slow
def test_an_artifact_of_another_rate_loads(tmp_path: Path) -> None:
    path = write_artifact(tmp_path / "fast.onnx", control_rate=500.0)
    assert Policy.load(path, control_rate=500.0).metadata.control_rate == 500.0


def _conditioned(path: Path, *, target_return: float | None = 7.0) -> Path:
    """Write a tiny artifact: action = tanh(observation[:4] + last_applied_action + target)."""

    def value(name: str, size: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])

    nodes = [
        helper.make_node("Slice", ["observation", "start", "end", "axis"], ["head"]),
        helper.make_node("Add", ["head", "last_applied_action"], ["sum"]),
        helper.make_node("Add", ["sum", "target_return"], ["total"]),
        helper.make_node("Tanh", ["total"], ["action"]),
        helper.make_node("Identity", ["memory"], ["memory_next"]),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [1], [number])
        for name, number in (("start", 0), ("end", 4), ("axis", 1))
    ]
    inputs = [value("observation", 18), value("last_applied_action", 4), value("target_return", 1)]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [*inputs, value("memory", 3)],
            [value("action", 4), value("memory_next", 3)],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    expected = float(np.tanh(np.float32(0.5)))
    metadata = {
        "format_version": 1,
        "observation_version": 1,
        "action_kind": "thrust_rates",
        "action_mapping": ACTION_MAPPINGS["thrust_rates"],
        "control_rate": 50.0,
        "airframe": "crazyflie21",
        "layers": [],
        "provenance": {},
        "target_return": target_return,
        "self_test": {
            "inputs": {
                "observation": [[0.1] * 18],
                "last_applied_action": [[0.2] * 4],
                "target_return": [[0.2]],
            },
            "actions": [[expected] * 4],
            "tolerance": 1e-4,
        },
    }
    plain = path.with_suffix(".plain")
    plain.write_bytes(model.SerializeToString())
    return edit(plain, path, metadata=metadata)


def test_named_inputs_are_fed(tmp_path: Path) -> None:
    policy = Policy.load(_conditioned(tmp_path / "p.onnx"), action_kind="thrust_rates")
    zeros = np.zeros(18)
    assert policy.step(zeros)[0] == pytest.approx(np.tanh(7.0))  # the artifact's target
    action = policy.step(zeros, last_applied_action=np.full(4, 0.25), target_return=0.0)
    assert action[0] == pytest.approx(np.tanh(0.25))
    # left out: the policy's own last action, and the last target given
    assert policy.step(zeros)[0] == pytest.approx(np.tanh(np.tanh(0.25)))
    policy.reset()
    assert policy.step(zeros)[0] == pytest.approx(np.tanh(7.0))


def test_a_missing_default_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="target_return"):
        Policy.load(_conditioned(tmp_path / "p.onnx", target_return=None))


def test_the_shipped_policy_loads_and_carries_its_story() -> None:
    package = ROOT / "ros2_ws" / "src" / "snn_controller"
    policy = Policy.load(
        package / "policies" / "hover.onnx",
        airframe="crazyflie21",
        control_rate=100.0,
        action_kind="motors",
    )
    metadata = policy.metadata
    assert [x.neurons for x in metadata.layers] == [256, 128]
    assert metadata.provenance["command"].startswith("python training/jsrl.py")
    assert "+changes" not in metadata.provenance["git"]
    assert metadata.evaluation["cells"]["standard"]["survival"]["mean"] > 0.9


@pytest.mark.parametrize(("chosen", "then"), [(None, "1"), ("0", "0")])
def test_it_reports_to_nobody_unless_somebody_chose_so(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, then: str
) -> None:
    monkeypatch.delenv(TELEMETRY, raising=False)
    if chosen is not None:
        monkeypatch.setenv(TELEMETRY, chosen)
    import_onnxruntime()
    assert os.environ.pop(TELEMETRY) == then


@pytest.mark.slow
def test_batched_policies_do_not_import_it_before_that() -> None:
    code = (
        "import sys, snn_training.rollouts.batched_policy; sys.exit('onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_without_it_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        import_onnxruntime()
