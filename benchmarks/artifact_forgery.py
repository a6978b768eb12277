"""Policy files changed on purpose by somebody who knows the format: metadata, graph, tensors.

Among them bombs, that would fill the memory, run for ever, or bring code of their own. A forgery
takes a model and a generator of random numbers and changes the model in place. Memory that files
and names of files could cost is asked for in full: the loader has to refuse it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

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


def _add(model: ModelProto, name: str, values: Any) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def _add_to_action(model: ModelProto, value: str) -> None:
    """Let the greatest number of a tensor, times zero, join the action: no part is left out."""
    node = next(x for x in model.graph.node if "action" in x.output)
    node.output[list(node.output).index("action")] = "action_before"
    zero = _add(model, "no_share", np.zeros((1, 1), np.float32))
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", [value], ["bomb_sum"], keepdims=0),
            helper.make_node("Mul", ["bomb_sum", zero], ["bomb_share"]),
            helper.make_node("Add", ["action_before", "bomb_share"], ["action"]),
        ]
    )


def filled(model: ModelProto, rng: Generator) -> None:
    """Ask for a tensor that is nothing but large."""
    side = int(2.0 ** rng.uniform(10.0, 40.0))
    shape = _add(model, "bomb_shape", np.array([side, side], np.int64))
    kind = choose(("ConstantOfShape", "Expand", "Tile", "RandomNormal"), rng)
    if kind == "ConstantOfShape":
        node = helper.make_node(kind, [shape], ["bomb"])
    elif kind == "RandomNormal":
        node = helper.make_node(kind, [], ["bomb"], shape=[side, side])
    else:
        one = _add(model, "bomb_one", np.ones((1, 1), np.float32))
        node = helper.make_node(kind, [one, shape], ["bomb"])
    model.graph.node.append(node)
    _add_to_action(model, "bomb")


def outer(model: ModelProto, rng: Generator) -> None:
    """Make a large tensor of small ones by operators that policies need."""
    side = int(2.0 ** rng.uniform(8.0, 18.0))
    ones = np.ones((side, 1), np.float32)
    tall, wide = _add(model, "bomb_tall", ones), _add(model, "bomb_wide", ones.T)
    kind = choose(("MatMul", "Add", "Mul"), rng)
    model.graph.node.append(helper.make_node(kind, [tall, wide], ["bomb"]))
    _add_to_action(model, "bomb")


def doubled(model: ModelProto, rng: Generator) -> None:
    """Join a tensor to itself, again and again."""
    name = "observation"
    for step in range(int(rng.integers(5, 60))):
        node = helper.make_node("Concat", [name, name], [f"bomb{step}"], axis=1)
        model.graph.node.append(node)
        name = f"bomb{step}"
    _add_to_action(model, name)


def many(model: ModelProto, rng: Generator) -> None:
    """Multiply large matrices many times, or ask for very many small steps."""
    count, side = choose(((30_000, 1), (400, 1000), (3000, 300)), rng)
    weight = _add(model, "bomb_weight", np.eye(side, dtype=np.float32))
    name = weight
    for step in range(count):
        node = helper.make_node("MatMul", [name, weight], [f"bomb{step}"])
        model.graph.node.append(node)
        name = f"bomb{step}"
    _add_to_action(model, name)


def endless(model: ModelProto, rng: Generator) -> None:
    """Loop for ever, or branch into graphs inside graphs."""
    text = helper.make_tensor_value_info
    body = GraphProto(name="body")
    body.input.extend([text("i", TensorProto.INT64, []), text("go", TensorProto.BOOL, [])])
    body.node.append(helper.make_node("Identity", ["go"], ["still"]))
    body.output.append(text("still", TensorProto.BOOL, []))
    for depth in range(int(rng.integers(0, 25)) if rng.random() < 0.5 else 0):
        outside = GraphProto(name=f"depth{depth}")
        outside.node.append(helper.make_node("If", ["go"], ["y"], then_branch=body))
        body = outside
    go = _add(model, "bomb_go", np.array(True))
    turns = _add(model, "bomb_turns", np.array(2**62))
    model.graph.node.append(helper.make_node("Loop", [turns, go], [], body=body))


def functions(model: ModelProto, rng: Generator) -> None:
    """Bring a function, training steps or a sparse tensor along."""
    kind = int(rng.integers(3))
    if kind == 0:
        inner = helper.make_node(choose(("Tanh", "Evil"), rng), ["x"], ["y"])
        opset = helper.make_opsetid("", 18)
        function = helper.make_function("mine", "Mine", ["x"], ["y"], [inner], [opset])
        model.functions.append(function)
        model.opset_import.add(domain="mine", version=1)
        node = choose(model.graph.node, rng)
        node.domain, node.op_type = "mine", "Mine"
    elif kind == 1:
        model.training_info.add().algorithm.CopyFrom(model.graph)
    else:
        values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
        places = helper.make_tensor("places", TensorProto.INT64, [1], [2**40])
        sparse = helper.make_sparse_tensor(values, places, [2**50])
        model.graph.sparse_initializer.append(sparse)


def self_test_endless(model: ModelProto, rng: Generator) -> None:
    """Bring a self-test of very many ticks."""
    entry = next(x for x in model.metadata_props if x.key == "self_test")
    ticks = int(rng.choice([2000, 100_000]))
    row, action = ", ".join(["0"] * 18), "[0, 0, 0, 0]"
    entry.value = (
        f'{{"inputs": {{"observation": [{", ".join([f"[{row}]"] * ticks)}]}},'
        f' "actions": [{", ".join([action] * ticks)}], "tolerance": 0.01}}'
    )


BOMBS: tuple[Forgery, ...] = (
    filled,
    outer,
    doubled,
    many,
    endless,
    functions,
    self_test_endless,
)
