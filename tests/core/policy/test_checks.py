"""What a policy's graph may hold: refused before onnxruntime has seen a byte."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, TensorProto, helper

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_controller.policy import checks as policy_graph
from snn_controller.policy import runtime as policy
from snn_controller.policy.checks import fields, varints
from snn_controller.policy.runtime import Policy
from support.sample_artifacts import edit, write_artifact

MANY = 2**24 + 1


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("artifact") / "policy.onnx")


def refusal(path: Path) -> str:
    with pytest.raises(UserError, match=r"^policy .*; ") as caught:
        Policy.load(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


def elsewhere(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    tensor.ClearField("raw_data")


def loops(model: ModelProto) -> None:
    attribute = helper.make_attribute("body", GraphProto(name="body"))
    model.graph.node[0].attribute.append(attribute)


def sparse(model: ModelProto) -> None:
    values = helper.make_tensor("values", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [1]))


def operator(name: str, domain: str = "") -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.graph.node[0].op_type, model.graph.node[0].domain = name, domain

    return change


def opset(model: ModelProto) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)


def functions(model: ModelProto) -> None:
    model.functions.add(name="mine")


def text(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.STRING


def sized(*dims: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.graph.initializer[0].dims[:] = dims

    return change


def twice(model: ModelProto) -> None:
    model.metadata_props.add(key="airframe", value='"x500"')


def nodes(model: ModelProto) -> None:
    for _ in range(policy_graph.MAX_NODES):
        model.graph.node.add(op_type="Identity", input=["observation"], output=["x"])


def parts(model: ModelProto) -> None:
    model.graph.node[0].input.extend(["x"] * policy_graph.MAX_FIELDS)


def constant(model: ModelProto) -> None:
    inner = TensorProto(data_type=TensorProto.FLOAT, dims=[MANY])
    model.graph.node.add(op_type="Constant").attribute.add(name="value", t=inner)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (elsewhere, "data in another file"),
        (loops, "control flow"),
        (sparse, "sparse tensors"),
        (functions, "functions of its own"),
        (operator("RandomNormal"), "operator 'RandomNormal'"),
        (operator("Loop"), "operator 'Loop'"),
        (operator("a\nb" + "c" * 999), r"operator 'a\nbccc"),
        (operator("Add", "evil"), "domain 'evil'"),
        (opset, "domain 'com.microsoft'"),
        (text, "a tensor is none of float"),
        (sized(MANY), "numbers"),
        (sized(2**13, 2**13), "numbers"),
        (sized(0, 2**62), "numbers"),
        (sized(-1), "numbers"),
        (sized(*[1] * 9), "8 axes"),
        (constant, "numbers"),
        (twice, "airframe stands in it twice"),
        (nodes, "operators"),
        (parts, "parts"),
    ],
)
def test_what_no_policy_needs_is_refused_unseen(
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[ModelProto], None],
    words: str,
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("onnxruntime has seen it")

    path = edit(good, tmp_path / "p.onnx", graph=change)
    monkeypatch.setattr(policy, "open_session", never)
    assert words in refusal(path)


def test_data_in_another_file_is_not_read_where_it_fits(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = onnx.load_from_string(good.read_bytes()).graph.initializer[0].raw_data
    (tmp_path / "weights.bin").write_bytes(weights)
    monkeypatch.chdir(tmp_path)
    assert "data in another file" in refusal(edit(good, tmp_path / "p.onnx", graph=elsewhere))


def swell(model: ModelProto) -> None:
    """Double a tensor in each of forty steps, all by operators that policies need."""
    name = "observation"
    for step in range(40):
        model.graph.node.add(op_type="Concat", input=[name, name], output=[f"x{step}"])
        model.graph.node[-1].attribute.append(helper.make_attribute("axis", 1))
        name = f"x{step}"
    node = next(x for x in model.graph.node if "action" in x.output)
    node.output[0] = "before"
    model.graph.node.add(op_type="ReduceMax", input=[name], output=["most"])
    model.graph.node[-1].attribute.append(helper.make_attribute("keepdims", 0))
    model.graph.node.add(op_type="Min", input=["before", "most"], output=["action"])


def test_memory_of_a_graph_is_bounded(good: Path, tmp_path: Path) -> None:
    assert "cannot run its self-test" in refusal(edit(good, tmp_path / "p.onnx", graph=swell))


def test_time_of_a_self_test_is_bounded(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "SELF_TEST_PATIENCE", 0.0)
    monkeypatch.setattr(
        policy.Policy,
        "_self_test_error",
        lambda self: [self.step([0.0] * 18) for _ in range(10**5)],
    )
    assert "terminate" in refusal(good)


def test_a_time_limit_that_was_kept_ends_nothing_later() -> None:
    with policy.time_limit(0.05) as options:
        pass
    spend(0.2)
    assert options.terminate is False


def test_time_in_which_others_work_does_not_count() -> None:
    with policy.time_limit(0.2) as options:
        time.sleep(0.5)
        assert options.terminate is False
        spend(0.4)
        time.sleep(0.1)
        assert options.terminate is True


def spend(seconds: float) -> None:
    """Use up processor time in s."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def read(data: bytes) -> list[tuple[int, int | bytes]]:
    parts = fields(memoryview(data))
    return [(number, x if isinstance(x, int) else bytes(x)) for number, x in parts]


def test_fields_of_every_wire_type() -> None:
    data = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x1d1234" + b"\x2112345678"
    assert read(data) == [(1, 150), (2, b"abc"), (3, b"1234"), (4, b"12345678")]


def test_it_reads_a_model_as_onnx_does() -> None:
    content = policy_path("").read_bytes()
    model = onnx.load_from_string(content)
    (graph,) = (part for number, part in read(content) if number == 7)
    assert isinstance(graph, bytes)
    assert onnx.GraphProto.FromString(graph) == model.graph
    tensors = [part for number, part in read(graph) if number == 5]
    assert len(tensors) == len(model.graph.initializer)
    for tensor, true in zip(tensors, model.graph.initializer, strict=True):
        assert isinstance(tensor, bytes)
        assert [part for number, part in read(tensor) if number == 9] == [true.raw_data]


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",  # no value
        b"\x08" + b"\xff" * 11,  # a number without an end
        b"\x12\x05abc",  # longer than what holds it
        b"\x12" + b"\xff" * 9 + b"\x01",  # far longer
        b"\x00\x01",  # field 0
        b"\x0b\x0c",  # a group
        b"\x1d12",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"number|longer|wire type"):
        read(data)


def test_repeated_numbers_come_one_by_one_or_packed() -> None:
    assert varints(7) == [7]
    assert varints(memoryview(b"\x01\x96\x01")) == [1, 150]
    with pytest.raises(ValueError, match="end"):
        varints(memoryview(b"\x80"))


@given(data=st.binary(max_size=200))
def test_any_bytes_end_in_fields_or_a_value_error(data: bytes) -> None:
    try:
        parts = read(data)
    except ValueError:
        return
    assert sum(len(x) for _, x in parts if isinstance(x, bytes)) <= len(data)
