"""Policy files changed on purpose by somebody who knows the format: metadata, graph, tensors.

A forgery takes a model and a generator of random numbers and changes the model in place. Memory
that files and names of files could cost is asked for in full: the loader has to refuse it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper

Generator = np.random.Generator
Forgery = Callable[[ModelProto, Generator], None]
WEIGHTS_FILE = "weights.bin"  # lies beside the policy file and in the working folder
_TYPES = AttributeProto
OPERATORS = sorted({(x.domain, x.name) for x in onnx.defs.get_all_schemas_with_history()})
HUGE = (2**16, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -1, 0, -(2**62))
ODD_TEXTS = (
    *("{not json", "", "nan", "NaN", "-Infinity", "1e999", "1" * 400, "1" * 5000, "null", "true"),
    *("[" * 50_000, '{"a":' * 20_000, '"' + "x" * 100_000 + '"', "[]", "{}", "0", "-1", "1e300"),
    *('"\\ud800"', '"\\u0000"', "[1, [2, [3]]]", '["lif1"]', '[{"name": "lif1"}]', "1e-9"),
)


def choose(options: Any, rng: Generator) -> Any:
    """Return one of a sequence, with equal chances."""
    return options[int(rng.integers(len(options)))]


def metadata_gone(model: ModelProto, rng: Generator) -> None:
    """Leave an entry of the metadata out."""
    del model.metadata_props[int(rng.integers(len(model.metadata_props)))]


def metadata_odd(model: ModelProto, rng: Generator) -> None:
    """Give an entry of the metadata another type, an impossible number, or no JSON at all."""
    choose(_entries(model), rng).value = choose(ODD_TEXTS, rng)


def metadata_twice(model: ModelProto, rng: Generator) -> None:
    """Add an entry whose name is there already."""
    model.metadata_props.add(key=choose(_entries(model), rng).key, value=choose(ODD_TEXTS, rng))


def metadata_deep(model: ModelProto, rng: Generator) -> None:
    """Change one value somewhere inside the metadata."""
    entry = choose(_entries(model), rng)
    value = json.loads(entry.value)
    odd = (None, True, -1, 0, 1e308, 10**400, "x", [], {}, [[[]]], float("nan"), 2**70)
    if isinstance(value, (dict, list)) and value:
        inner = value
        for _ in range(int(rng.integers(4))):
            key = choose(list(inner) if isinstance(inner, dict) else range(len(inner)), rng)
            if not isinstance(inner[key], (dict, list)) or not inner[key]:
                break
            inner = inner[key]
        key = choose(list(inner) if isinstance(inner, dict) else range(len(inner)), rng)
        inner[key] = choose(odd, rng)
    else:
        value = choose(odd, rng)
    entry.value = json.dumps(value)


def _entries(model: ModelProto) -> list[Any]:
    return [entry for entry in model.metadata_props if entry.key != "digest"]


def tensors_swapped(model: ModelProto, rng: Generator) -> None:
    """Exchange the contents of two tensors, their shapes too half of the time."""
    tensors = model.graph.initializer
    a, b = (choose(tensors, rng) for _ in range(2))
    a.raw_data, b.raw_data = b.raw_data, a.raw_data
    if rng.random() < 0.5:
        dims = list(a.dims)
        a.dims[:], b.dims[:] = b.dims, dims


def tensor_values(model: ModelProto, rng: Generator) -> None:
    """Change numbers of a tensor: scaled, shuffled, not finite, or one of them only."""
    tensor = choose(model.graph.initializer, rng)
    values = np.frombuffer(tensor.raw_data, np.uint8).view(_dtype(tensor)).copy()
    if values.size:
        kind = int(rng.integers(4))
        if kind == 0:
            values *= values.dtype.type(rng.choice([-1, 0, 2]))
        elif kind == 1:
            rng.shuffle(values)
        else:
            odd = (np.nan, np.inf, -1e38, 1e38) if values.dtype.kind == "f" else HUGE[:6]
            values[int(rng.integers(values.size))] = choose(odd, rng)
    tensor.raw_data = values.tobytes()


def _dtype(tensor: TensorProto) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))


def tensor_header(model: ModelProto, rng: Generator) -> None:
    """Give a tensor another shape or type than its data has, also impossible ones."""
    tensor = choose(model.graph.initializer, rng)
    kind = int(rng.integers(4))
    if kind == 0 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = choose(HUGE, rng)
    elif kind == 1:
        tensor.dims[:] = [choose(HUGE, rng) for _ in range(int(rng.integers(1, 6)))]
    elif kind == 2:
        tensor.data_type = int(rng.integers(-1, 30))
    else:
        tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]


def tensor_elsewhere(model: ModelProto, rng: Generator) -> None:
    """Say that a tensor's data lies in another file; the true data may lie there."""
    number = int(rng.integers(len(model.graph.initializer)))
    tensor, before = model.graph.initializer[number], model.graph.initializer[:number]
    offset = sum(len(each.raw_data) for each in before)
    places = (WEIGHTS_FILE, f"./{WEIGHTS_FILE}", f"../{WEIGHTS_FILE}", "/etc/passwd", "/dev/zero")
    more = ("/proc/self/mem", "pipe", "", "*/_ORT_MEM_ADDR_/*", "file:///etc/passwd", "x" * 5000)
    length = len(tensor.raw_data)
    tensor.data_location = TensorProto.EXTERNAL
    if rng.random() < 0.9:
        tensor.ClearField("raw_data")
    values = {"location": choose(places + more, rng), "offset": offset, "length": length}
    if rng.random() < 0.3:
        values[choose(("offset", "length"), rng)] = choose(HUGE, rng)
    for key, value in values.items():
        tensor.external_data.add(key=key, value=str(value))


def node_gone(model: ModelProto, rng: Generator) -> None:
    """Leave a node or a tensor out, or put nodes in another order."""
    nodes = model.graph.node
    if rng.random() < 0.6:
        del nodes[int(rng.integers(len(nodes)))]
    elif rng.random() < 0.5:
        del model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    else:
        a, b = rng.integers(len(nodes), size=2)
        node = onnx.NodeProto()
        node.CopyFrom(nodes[a])
        nodes[a].CopyFrom(nodes[b])
        nodes[b].CopyFrom(node)


def node_operator(model: ModelProto, rng: Generator) -> None:
    """Let a node do something else, of all that ONNX and onnxruntime know."""
    node = choose(model.graph.node, rng)
    extra = [("com.microsoft", name) for name in ("Attention", "MatMulNBits", "EPContext", "Gelu")]
    node.domain, node.op_type = choose([*OPERATORS, *extra, ("evil", "Run")], rng)
    if node.domain:
        model.opset_import.add(domain=node.domain, version=1)


def node_wiring(model: ModelProto, rng: Generator) -> None:
    """Connect a node elsewhere, also to itself, to nothing or to what does not exist."""
    node = choose(model.graph.node, rng)
    names = [x for each in model.graph.node for x in (*each.input, *each.output)]
    names += [x.name for x in model.graph.initializer] + ["", "nowhere"]
    ends = node.input if rng.random() < 0.7 and node.input else node.output
    ends[int(rng.integers(len(ends)))] = choose(names, rng)


def node_attribute(model: ModelProto, rng: Generator) -> None:
    """Give a node an attribute that is impossible or of another operator."""
    node = choose(model.graph.node, rng)
    names = [x.name for x in node.attribute] + ["axis", "to", "perm", "transB", "alpha", "value"]
    name = choose(names, rng)
    kept = [x for x in node.attribute if x.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    odd = (*HUGE, 1e38, float("nan"), "text", [1, 0, 2**40], [0.5], GraphProto(name="inner"))
    attribute = helper.make_attribute(name, choose(odd, rng))
    if rng.random() < 0.2:
        attribute.type = choose((_TYPES.INT, _TYPES.GRAPH, _TYPES.TENSOR, _TYPES.STRINGS), rng)
    node.attribute.append(attribute)


def door_shape(model: ModelProto, rng: Generator) -> None:
    """Give an input or an output another shape, type or name."""
    door = choose([*model.graph.input, *model.graph.output], rng)
    kind = int(rng.integers(5))
    shape = door.type.tensor_type.shape
    if kind == 0:
        shape.dim[int(rng.integers(len(shape.dim)))].dim_value = choose(HUGE, rng)
    elif kind == 1:
        shape.dim[int(rng.integers(len(shape.dim)))].dim_param = "batch"
    elif kind == 2:
        door.type.tensor_type.elem_type = int(rng.integers(25))
    elif kind == 3:
        door.name = choose(
            ("", "x", "observation", "action", "membrane_lif1", "target_return"), rng
        )
    else:
        door.ClearField("type")


def door_more(model: ModelProto, rng: Generator) -> None:
    """Add an input or an output, a state of impossible size among them."""
    sizes = [1, choose(HUGE, rng)] if rng.random() < 0.7 else [choose(HUGE, rng)] * 9
    name = choose(("memory", "x", "action", "last_applied_action", "spikes_lif9"), rng)
    inlet = helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
    outlet = helper.make_tensor_value_info(f"{name}_next", TensorProto.FLOAT, sizes)
    if rng.random() < 0.8:
        model.graph.input.append(inlet)
    if rng.random() < 0.8:
        model.graph.output.append(outlet)
        model.graph.node.append(helper.make_node("Identity", [name], [f"{name}_next"]))


def header(model: ModelProto, rng: Generator) -> None:
    """Change versions, opsets and what the model says about itself, wholly harmless things too."""
    kind = int(rng.integers(5))
    if kind == 0:
        model.ir_version = choose((0, 1, 3, 99, -1, 2**62), rng)
    elif kind == 1:
        model.opset_import[0].version = choose((0, 1, 7, 99, -5, 2**62), rng)
    elif kind == 2:
        model.opset_import.add(domain=choose(("", "com.microsoft", "evil"), rng), version=1)
    elif kind == 3:
        model.doc_string = model.graph.doc_string = "x" * int(rng.integers(1, 100_000))
    else:
        model.producer_name, model.model_version = "somebody", choose(HUGE, rng)


METADATA: tuple[Forgery, ...] = (metadata_gone, metadata_odd, metadata_twice, metadata_deep)
TENSORS: tuple[Forgery, ...] = (tensors_swapped, tensor_values, tensor_header, tensor_elsewhere)
GRAPH: tuple[Forgery, ...] = (
    node_gone,
    node_operator,
    node_wiring,
    node_attribute,
    door_shape,
    door_more,
    header,
)
