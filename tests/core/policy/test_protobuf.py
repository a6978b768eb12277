from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.paths import policy_path
from snn_controller.policy.graph_checks import fields, varints


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
