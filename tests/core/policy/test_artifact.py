"""Refusing artifacts that are missing, damaged, of another version or do not fit."""

from __future__ import annotations

import builtins
import hashlib
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from snn_controller.errors import UserError
from snn_controller.policy import artifact
from snn_controller.policy import runtime as policy_module
from snn_controller.policy.runtime import Policy
from support.sample_artifacts import edit, write_artifact


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("artifact") / "policy.onnx")


def _refusal(path: Path, **expected: Any) -> str:
    with pytest.raises(UserError) as caught:
        Policy.load(path, **expected)
    message = str(caught.value)
    assert "\n" not in message
    assert "; " in message  # what is wrong; how to mend it
    return message


def test_missing_directory_empty_and_too_large_files(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "does not exist" in _refusal(tmp_path / "none.onnx")
    assert "directory" in _refusal(tmp_path)
    (tmp_path / "empty.onnx").touch()
    assert "empty" in _refusal(tmp_path / "empty.onnx")
    monkeypatch.setattr(artifact, "MAX_FILE_SIZE", 1000)
    assert "too large" in _refusal(good)


def test_files_that_are_no_artifact(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    path.write_text("# just some text\n" * 100)
    assert "no digest" in _refusal(path)
    model = onnx.load_from_string(good.read_bytes())
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    assert "no digest" in _refusal(path)
    content = b'digest\x12\x49"' + artifact.ZERO_DIGEST.encode() + b'" but not ONNX'
    path.write_bytes(artifact.seal(content))
    assert "no graph of a policy" in _refusal(path)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"format_version": None}, "format version None"),
        ({"observation_version": 3}, "observation version 3"),
        ({"action_kind": "wishes"}, "action kind 'wishes'"),
        ({"airframe": None, "self_test": None}, "lacks the metadata airframe, self_test"),
        ({"control_rate": 0.0}, "control_rate"),
        ({"control_rate": "fast"}, "malformed"),
        ({"control_rate": "100"}, "malformed"),
        ({"control_rate": True}, "malformed"),
        ({"control_rate": 10**400}, "malformed"),
        ({"control_rate": float("nan")}, "malformed"),
        ({"format_version": True}, "format version True"),
        ({"format_version": "x\n" * 9999}, "format version x?x?"),
        ({"action_mapping": "throttle = a"}, "its actions mean throttle = a"),
        ({"airframe": ["crazyflie21"]}, "malformed"),
        ({"provenance": [["a", "b"]]}, "malformed"),
        ({"input_macs": float("inf")}, "malformed"),
        ({"layers": "lif1"}, "malformed"),
        ({"layers": [None]}, "malformed"),
        (
            {"layers": [{"name": "lif1", "neurons": 1e999, "fan_in": 1, "fan_out": 1}]},
            "malformed",
        ),
        (
            {
                "self_test": {
                    "inputs": {"observation": [[0.0] * 18] * 2000},
                    "actions": [[0.0] * 4] * 2000,
                    "tolerance": 0.01,
                }
            },
            "more than 1000 ticks",
        ),
        ({"layers": [{"name": "lif1"}]}, "malformed"),
        ({"self_test": {"inputs": {}, "actions": [], "tolerance": 1e-4}}, "self_test"),
        (
            {
                "self_test": {
                    "inputs": {"observation": [[0.0] * 3]},
                    "actions": [[0.0] * 4],
                    "tolerance": 1e-4,
                }
            },
            "self-test",
        ),
        ({"layers": []}, "without a meaning"),
        (
            {"layers": [{"name": "lif1", "neurons": 9, "fan_in": 18, "fan_out": 128}]},
            "wrong shape",
        ),
        (
            {"layers": [{"name": "other", "neurons": 256, "fan_in": 18, "fan_out": 128}]},
            "no input 'membrane_other'",
        ),
    ],
)
def test_wrong_metadata(good: Path, tmp_path: Path, metadata: dict[str, Any], words: str) -> None:
    assert words in _refusal(edit(good, tmp_path / "p.onnx", metadata=metadata))


def test_metadata_that_is_not_json(good: Path, tmp_path: Path) -> None:
    def break_json(model: onnx.ModelProto) -> None:
        model.metadata_props.add(key="extra", value="{not json")

    assert "unreadable metadata" in _refusal(edit(good, tmp_path / "p.onnx", graph=break_json))


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a":' * 50_000])
def test_metadata_that_would_break_a_parser(good: Path, tmp_path: Path, text: str) -> None:
    def break_json(model: onnx.ModelProto) -> None:
        model.metadata_props.add(key="extra", value=text)

    assert "unreadable metadata" in _refusal(edit(good, tmp_path / "p.onnx", graph=break_json))


def test_states_of_impossible_size_are_not_allocated(good: Path, tmp_path: Path) -> None:
    def enlarge(model: onnx.ModelProto) -> None:
        for ends, name in ((model.graph.input, "memory"), (model.graph.output, "memory_next")):
            ends.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [2**20, 2**20]))
        model.graph.node.add(op_type="Identity", input=["memory"], output=["memory_next"])

    assert "states of 1099511628160 numbers" in _refusal(
        edit(good, tmp_path / "p.onnx", graph=enlarge)
    )


def test_pipes_devices_and_impossible_names(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe or a device" in _refusal(tmp_path / "pipe")
    assert "pipe or a device" in _refusal(Path("/dev/zero"))
    assert "cannot be read" in _refusal(Path("x" * 5000))
    assert "null" in _refusal(Path("a\0b"))


def test_a_pinned_hash(good: Path, tmp_path: Path) -> None:
    pin = hashlib.sha256(good.read_bytes()).hexdigest()
    assert Policy.load(good, sha256=pin).sha256 == pin
    assert Policy.load(good, sha256=pin.upper()).sha256 == pin
    other = edit(good, tmp_path / "p.onnx", metadata={"evaluation": {"note": "mine"}})
    assert Policy.load(other).sha256 != pin
    message = _refusal(other, sha256=pin)
    assert pin in message and hashlib.sha256(other.read_bytes()).hexdigest() in message
    assert "64 hexadecimal digits" in _refusal(good, sha256=pin[:12])
    assert "64 hexadecimal digits" in _refusal(good, sha256="policy.onnx")


def test_a_pin_is_held_against_the_file_before_anything_looks_into_it(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the file has been looked into")

    monkeypatch.setattr(policy_module, "check_graph_bytes", never)
    monkeypatch.setattr(policy_module, "open_session", never)
    assert "policy_sha256 demands" in _refusal(good, sha256="0" * 64)


def test_wrong_shapes(good: Path, tmp_path: Path) -> None:
    def free_batch(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"

    def rename(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.output[:] = ["act" if x == "action" else x for x in node.output]
        model.graph.output[0].name = "act"

    assert "wrong shape" in _refusal(edit(good, tmp_path / "a.onnx", graph=free_batch))
    assert "no output 'action'" in _refusal(edit(good, tmp_path / "b.onnx", graph=rename))


def test_another_rate_airframe_or_kind_than_expected(good: Path) -> None:
    assert "100 Hz, not 250 Hz" in _refusal(good, control_rate=250.0)
    assert "'crazyflie21', not 'x500'" in _refusal(good, airframe="x500")
    assert "'motors', not 'thrust_rates'" in _refusal(good, action_kind="thrust_rates")


def test_self_test_catches_changed_weights(good: Path, tmp_path: Path) -> None:
    def bend(model: onnx.ModelProto) -> None:
        weights = max(model.graph.initializer, key=lambda x: len(x.raw_data))
        values = np.frombuffer(weights.raw_data, np.float32) * np.float32(1.5)
        weights.raw_data = values.tobytes()

    assert "fails its self-test" in _refusal(edit(good, tmp_path / "p.onnx", graph=bend))


def test_missing_onnxruntime(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fake(name: str, *rest: Any, **options: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", fake)
    assert "pip install onnxruntime" in _refusal(good)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_altered_byte_is_refused(good: Path, data: st.DataObject) -> None:
    content = bytearray(good.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    _damaged(good, bytes(content))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_any_truncation_is_refused(good: Path, data: st.DataObject) -> None:
    content = good.read_bytes()
    _damaged(good, content[: data.draw(st.integers(0, len(content) - 1))])


def test_every_byte_around_the_digest_matters(good: Path) -> None:
    content = good.read_bytes()
    start = content.index(b"digest\x12")
    for position in range(start - 4, len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        _damaged(good, bytes(changed))


def test_appended_and_shuffled_bytes_are_refused(good: Path) -> None:
    content, rng = good.read_bytes(), random.Random(5)
    _damaged(good, content + b"\0")
    _damaged(good, content + content)
    _damaged(good, bytes(rng.sample(content, len(content))))
    _damaged(good, rng.randbytes(10_000))


def _damaged(good: Path, content: bytes) -> None:
    path = good.with_name("damaged.onnx")
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"policy .*; "):
        Policy.load(path)


def test_seal_wants_exactly_one_digest(good: Path) -> None:
    with pytest.raises(ValueError, match="digest"):
        artifact.seal(b"no digest here")
    with pytest.raises(ValueError, match="digest"):
        artifact.seal(good.read_bytes())  # sealed already
