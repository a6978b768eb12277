"""Checks of a policy: its bytes, then its graph against its metadata and what its caller expects.

A policy needs little of ONNX. Other files, code, control flow and chance are refused by lists of
what is known, before onnxruntime sees a byte: a field, a type or an operator that is on none of
them is no part of a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from snn_controller.errors import UserError, quote
from snn_controller.policy.artifact import EXPORT_AGAIN, PolicyMetadata
from snn_controller.vehicle import ACTION_SIZE

FIXED_INPUTS = ("observation", "last_applied_action", "target_return")  # the rest are states
DTYPES: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
MAX_STATE_SIZE = 1_000_000  # numbers in all states
MAX_FIELDS = 100_000  # in the whole file; a policy has about a thousand
MAX_NODES = 5_000
MAX_TENSOR_SIZE = 16 * 1024 * 1024  # numbers in one tensor
# Deterministic, without control flow, strings or sequences. Add what a new network needs.
OPERATORS = frozenset(
    (
        *("Abs", "Acos", "Add", "And", "ArgMax", "ArgMin", "Asin", "Atan", "AveragePool"),
        *("BatchNormalization", "BitShift", "Cast", "CastLike", "Ceil", "Clip", "Concat"),
        *("Constant", "ConstantOfShape", "Conv", "Cos", "Cosh", "CumSum", "Div", "Einsum"),
        *("Elu", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor", "GRU", "Gather"),
        *("GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "Greater"),
        *("GreaterOrEqual", "HardSigmoid", "HardSwish", "Hardmax", "Identity"),
        *("InstanceNormalization", "IsInf", "IsNaN", "LSTM", "LayerNormalization", "LeakyRelu"),
        *("Less", "LessOrEqual", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Mean", "Min"),
        *("Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "RNN"),
        *("Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin"),
        *("ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Round"),
        *("ScatterElements", "ScatterND", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Sinh"),
        *("Slice", "Softmax", "Softplus", "Softsign", "Split", "Sqrt", "Squeeze", "Sub", "Sum"),
        *("Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze"),
        *("Where", "Xor"),
    )
)
_DOMAINS = ("", "ai.onnx")
_TENSOR_TYPES = {1: "float", 6: "int32", 7: "int64", 9: "bool", 11: "double"}
_UNUSED = {
    ("model", 20): "training steps",
    ("model", 25): "functions of its own",
    ("graph", 15): "sparse tensors",
    ("attribute", 6): "control flow",
    ("attribute", 11): "control flow",
    ("tensor", 13): "data in another file",
    ("tensor", 14): "data in another file",
}
_EMPTY = memoryview(b"")
# Fields by their numbers in onnx.proto: those that policies use or that cannot do anything.
_MODEL, _GRAPH, _NODE = (
    {1, 2, 3, 4, 5, 6, 7, 8, 14},
    {1, 2, 5, 10, 11, 12, 13, 16},
    {*range(1, 8), 9},
)
_ATTRIBUTE, _TENSOR = {1, 2, 3, 4, 5, 7, 8, 13, 20}, {1, 2, 4, 5, 7, 8, 9, 10, 12, 16}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; groups (3, 4) are long obsolete
_SIZES = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10  # bytes


def check_graph_bytes(content: bytes, path: Path) -> None:
    """Look through the bytes of a policy file.

    Raises:
        UserError: They are no model, or one that holds what no policy needs.
    """
    try:
        _Walk().model(memoryview(content))
    except ValueError as error:
        raise UserError(
            f"policy {path} is no graph of a policy: {quote(error)}; {EXPORT_AGAIN}"
        ) from error


class _Walk:
    """One way through a file, counting; every step raises ValueError for what is refused."""

    def __init__(self) -> None:
        self._fields = count(1)
        self._nodes = count(1)

    def model(self, message: memoryview) -> None:
        graphs, keys = 0, set()
        for number, part in self._parts(message, "model", _MODEL):
            if number == 7:
                graphs += 1
                self._graph(_bytes(part))
            elif number == 8:
                self._opset(_bytes(part))
            elif number == 14:
                key = self._key(_bytes(part))
                if key in keys:
                    raise ValueError(f"the metadata {quote(key)} stands in it twice")
                keys.add(key)
        if graphs != 1:
            raise ValueError(f"it holds {graphs} graphs")

    def _graph(self, message: memoryview) -> None:
        steps: dict[int, Callable[[memoryview], None]] = {1: self._node, 5: self._tensor}
        for number, part in self._parts(message, "graph", _GRAPH):
            if number in steps:
                steps[number](_bytes(part))

    def _node(self, message: memoryview) -> None:
        if next(self._nodes) > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES} operators")
        for number, part in self._parts(message, "node", _NODE):
            if number == 4 and (name := _text(part)) not in OPERATORS:
                raise ValueError(f"no policy needs the operator {quote(repr(name))}")
            if number == 7:
                _check_domain(_text(part))
            if number == 5:
                self._attribute(_bytes(part))

    def _attribute(self, message: memoryview) -> None:
        for number, part in self._parts(message, "attribute", _ATTRIBUTE):
            if number == 5:
                self._tensor(_bytes(part))

    def _tensor(self, message: memoryview) -> None:
        sizes: list[int] = []
        for number, part in self._parts(message, "tensor", _TENSOR):
            if number == 1:
                sizes += varints(part)
                if len(sizes) > 8:
                    raise ValueError("a tensor has more than 8 axes")
            elif number == 2 and part not in _TENSOR_TYPES:
                raise ValueError(f"a tensor is none of {', '.join(_TENSOR_TYPES.values())}")
        if max(prod(sizes), *sizes, 0) > MAX_TENSOR_SIZE:
            raise ValueError(f"a tensor has more than {MAX_TENSOR_SIZE} numbers")

    def _opset(self, message: memoryview) -> None:
        for number, part in self._parts(message, "opset", {1, 2}):
            if number == 1:
                _check_domain(_text(part))

    def _key(self, message: memoryview) -> str:
        entries = dict(self._parts(message, "metadata", {1, 2}))
        _text(entries.get(2, _EMPTY))  # a value that is no text is refused here
        return _text(entries.get(1, _EMPTY))

    def _parts(
        self, message: memoryview, what: str, known: set[int]
    ) -> Iterator[tuple[int, int | memoryview]]:
        for number, part in fields(message):
            if next(self._fields) > MAX_FIELDS:
                raise ValueError(f"it has more than {MAX_FIELDS} parts")
            if number not in known:
                unused = _UNUSED.get((what, number), f"field {number} of a {what}")
                raise ValueError(f"no policy needs {unused}")
            yield number, part


def _check_domain(domain: str) -> None:
    if domain not in _DOMAINS:
        raise ValueError(f"no policy needs operators of the domain {quote(repr(domain))}")


def _bytes(part: int | memoryview) -> memoryview:
    if isinstance(part, int):
        raise ValueError("a number stands where a part should be")
    return part


def _text(part: int | memoryview) -> str:
    return bytes(_bytes(part)).decode()


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (number, value) of each field in order: an int for a varint, else the bytes.

    Raises:
        ValueError: The bytes are no message.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if kind == VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = _varint(message, place)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(f"a field has the wire type {kind}")
        if place + size > len(message):
            raise ValueError("a field is longer than what holds it")
        yield number, message[place : place + size]
        place += size


def varints(value: int | memoryview) -> list[int]:
    """Return a repeated integer's part: one number, or many that are packed into bytes.

    Raises:
        ValueError: The bytes are no varints.
    """
    if isinstance(value, int):
        return [value]
    numbers, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        numbers.append(number)
    return numbers


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    number = shift = 0
    for place in range(place, min(place + _LONGEST_VARINT, len(message))):  # noqa: B020
        byte = message[place]
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number & (2**64 - 1), place + 1
    raise ValueError("a number does not end")


@dataclass(frozen=True)
class _Node:
    shape: tuple[Any, ...]
    type: str


def check_graph(session: Any, metadata: PolicyMetadata, path: Path) -> None:
    """Check names, shapes and types of all inputs and outputs against the metadata.

    Raises:
        UserError: One is missing, unknown or of the wrong shape or type.
    """
    inputs, outputs = _describe(session.get_inputs()), _describe(session.get_outputs())
    sizes = metadata.observation.size, ACTION_SIZE, 1
    expected_inputs: dict[str, tuple[Any, ...]] = {
        name: (1, size)
        for name, size in zip(FIXED_INPUTS, sizes, strict=True)
        if name in inputs or name == "observation"
    }
    expected_outputs = {"action": (1, ACTION_SIZE)}
    for layer in metadata.layers:
        expected_inputs[f"membrane_{layer.name}"] = (1, layer.neurons)
        expected_outputs[f"spikes_{layer.name}"] = (1, layer.neurons)
    states = inputs.keys() - set(FIXED_INPUTS)
    for name in states:
        expected_inputs.setdefault(name, inputs[name].shape)
        expected_outputs[f"{name}_next"] = inputs[name].shape
    for kind, expected, found in (
        ("input", expected_inputs, inputs),
        ("output", expected_outputs, outputs),
    ):
        for name, shape in expected.items():
            if name not in found:
                raise UserError(f"policy {path} has no {kind} '{quote(name)}'; {EXPORT_AGAIN}")
            is_state = name.removesuffix("_next") in states
            plain = not is_state or name.startswith("membrane_")
            _check_node(f"{kind} '{quote(name)}'", found[name], shape, path, must_be_float=plain)
    _check_states({name: inputs[name] for name in states}, path)
    unknown = outputs.keys() - expected_outputs.keys()
    if unknown:
        raise UserError(
            f"policy {path} has outputs without a meaning ({quote(', '.join(sorted(unknown)))}); "
            f"{EXPORT_AGAIN}"
        )
    if "target_return" in inputs and metadata.target_return is None:
        raise UserError(f"policy {path} lacks the metadata target_return; {EXPORT_AGAIN}")


def check_expectations(
    metadata: PolicyMetadata,
    path: Path,
    *,
    airframe: str | None,
    control_rate: float | None,
    action_kind: str | None,
    observation_version: int | None,
) -> None:
    """Check that a policy is for this airframe, rate, action and observation, where given.

    Raises:
        UserError: It is not.
    """
    if airframe is not None and metadata.airframe != airframe:
        raise UserError(
            f"policy {path} was trained for the airframe '{quote(metadata.airframe)}', not "
            f"'{airframe}'; choose that airframe or a policy trained for yours"
        )
    if control_rate is not None and abs(metadata.control_rate - control_rate) > 1e-6:
        raise UserError(
            f"policy {path} ticks at {metadata.control_rate:g} Hz, not {control_rate:g} Hz; "
            "set that control rate or use a policy trained at yours"
        )
    if action_kind is not None and metadata.action_kind != action_kind:
        raise UserError(
            f"policy {path} gives actions of kind '{metadata.action_kind}', not '{action_kind}'; "
            "choose a flight controller link that takes them or another policy"
        )
    if observation_version is not None and metadata.observation_version != observation_version:
        raise UserError(
            f"policy {path} was trained on observation version {metadata.observation_version}, and "
            f"here it would see {observation_version}; choose a policy that was trained on that"
        )


def _describe(nodes: Any) -> dict[str, _Node]:
    return {node.name: _Node(tuple(node.shape), node.type) for node in nodes}


def _check_node(
    what: str, node: _Node, shape: tuple[Any, ...], path: Path, *, must_be_float: bool
) -> None:
    fixed = all(isinstance(size, int) and size > 0 for size in node.shape)
    known = node.type == "tensor(float)" if must_be_float else node.type in DTYPES
    if node.shape != shape or not fixed or not known:
        raise UserError(
            f"policy {path} has the wrong shape or type at {what}: {quote(node.shape)} "
            f"{quote(node.type)}, expected {quote(shape)}; {EXPORT_AGAIN}"
        )


def _check_states(states: Mapping[str, _Node], path: Path) -> None:
    size = sum(prod(node.shape) for node in states.values())
    if size > MAX_STATE_SIZE:
        raise UserError(
            f"policy {path} has states of {size} numbers, more than {MAX_STATE_SIZE}; "
            f"{EXPORT_AGAIN}"
        )
