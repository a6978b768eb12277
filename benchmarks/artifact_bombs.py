"""Policy files that would fill the memory, run for ever, or bring code of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
from artifact_forgery import Forgery, Generator, choose
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper


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
