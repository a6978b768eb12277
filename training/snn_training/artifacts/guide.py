"""Export the guide's actor to `policy.onnx`: its action history becomes a state of the graph.

The state `action_history` (1, 128) holds the policy's own last 32 actions, oldest first. It starts
from zeros, as every state of an artifact does, and each tick appends the newest action.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE
from snn_sim.task import CONTROL_RATE, HISTORY_SIZE, append_action
from snn_training.artifacts.file import (
    IR_VERSION,
    OPSET_VERSION,
    ArtifactInfo,
    Rows,
    Tick,
    require_finite,
    write_artifact,
)
from snn_training.networks import ActorOfGuide, GuideActor, SpikingGuideActor

Constants = dict[str, NDArray[Any]]


def actor_constants(actor: ActorOfGuide) -> Constants:
    """Return the weights by their names in the graph, the inputs' scale folded into the first."""
    layers = [x for x in actor.layers if isinstance(x, nn.Linear)]
    constants: Constants = {}
    for number, layer in enumerate(layers):
        constants[f"weight{number}"] = layer.weight.detach().numpy().copy()
        constants[f"bias{number}"] = layer.bias.detach().numpy().copy()
    constants["weight0"] *= actor.scale.numpy()
    if isinstance(actor, SpikingGuideActor):
        for number, (beta, threshold) in enumerate(zip(actor.betas, actor.thresholds, strict=True)):
            constants[f"beta{number}"] = beta.detach().clamp(0.0, 1.0).numpy()
            constants[f"threshold{number}"] = threshold.detach().numpy().copy()
            # a neuron whose threshold fell below rest has fired before the first step
            constants[f"reset{number}"] = threshold.detach().clamp(max=0.0).numpy()
        constants["rest"] = np.zeros((1, 1), np.float32)
    return constants


def actor_nodes(actor: ActorOfGuide) -> list[onnx.NodeProto]:
    """Return the nodes between `x0` and `action`."""
    if isinstance(actor, GuideActor):
        return list(_perceptron(sum(isinstance(x, nn.Linear) for x in actor.layers)))
    return list(_spiking(len(actor.betas), actor.steps))


def multiply_accumulates(actor: ActorOfGuide) -> int:
    """Return the multiply-accumulates of a tick.

    A spiking actor's are counted as if it were dense, its first layer once, as the inputs are the
    same at every step, and the others at each.
    """
    sizes = [x.weight.numel() for x in actor.layers if isinstance(x, nn.Linear)]
    steps = 1 if isinstance(actor, GuideActor) else actor.steps
    return sizes[0] + steps * sum(sizes[1:-1]) + sizes[-1]


def _perceptron(layers: int) -> Iterator[onnx.NodeProto]:
    for number in range(layers):
        last = number == layers - 1
        yield _product(number, f"x{number}", f"y{number}")
        output = "action" if last else f"x{number + 1}"
        yield helper.make_node("Tanh" if last else "Relu", [f"y{number}"], [output])


def _spiking(layers: int, steps: int) -> Iterator[onnx.NodeProto]:
    """Yield the layers step by step, then the read-out of the last layer's summed spikes."""
    yield _product(0, "x0", "current0")
    totals = ["rest"]
    for step in range(steps):
        for layer in range(layers):
            current = f"current{layer}" if layer == 0 else f"current{layer}_{step}"
            if layer:
                yield _product(layer, f"spikes{layer - 1}_{step}", current)
            yield from _lif_step(layer, step, current)
        totals.append(f"total_{step}")
        yield helper.make_node("Add", [totals[-2], f"spikes{layers - 1}_{step}"], totals[-1:])
    yield _product(layers, totals[-1], "drive")
    yield helper.make_node("Tanh", ["drive"], ["action"])


def _lif_step(layer: int, step: int, current: str) -> Iterator[onnx.NodeProto]:
    """Yield U' = beta U + I - s(U) U_thr and s(U'), as `lif.py` has it; U is 0 before step 0."""
    name = f"{layer}_{step}"
    if step:
        before = f"{layer}_{step - 1}"
        yield helper.make_node("Mul", [f"membrane{before}", f"beta{layer}"], [f"kept{name}"])
        yield helper.make_node("Add", [f"kept{name}", current], [f"charged{name}"])
        yield helper.make_node("Mul", [f"spikes{before}", f"threshold{layer}"], [f"reset{name}"])
        yield helper.make_node("Sub", [f"charged{name}", f"reset{name}"], [f"membrane{name}"])
    else:
        yield helper.make_node("Sub", [current, f"reset{layer}"], [f"membrane{name}"])
    fired = f"fired{name}"
    yield helper.make_node("Greater", [f"membrane{name}", f"threshold{layer}"], [fired])
    yield helper.make_node("Cast", [fired], [f"spikes{name}"], to=TensorProto.FLOAT)


def _product(layer: int, inputs: str, output: str) -> onnx.NodeProto:
    names = [inputs, f"weight{layer}", f"bias{layer}"]
    return helper.make_node("Gemm", names, [output], transB=1)


def export_guide(actor: ActorOfGuide, path: Path, info: ArtifactInfo) -> None:
    """Write the artifact of an actor that was trained at the simulators' control rate, atomically.

    Raises:
        UserError: The actor has weights that are not finite, or the file cannot be written.
    """
    require_finite(actor)
    no_layers = ()  # none that keeps a state between ticks
    macs = multiply_accumulates(actor)
    tick = Tick(CONTROL_RATE, no_layers, macs, partial(_fly, actor))
    write_artifact(path, _graph(actor), tick, info)


def _graph(actor: ActorOfGuide) -> onnx.ModelProto:
    """Return observation, action_history -> action, action_history_next."""
    constants = {
        "one_action": np.array([ACTION_SIZE]),
        "end": np.array([HISTORY_SIZE]),
        "time": np.array([1]),  # the axis of the history
    }
    constants |= actor_constants(actor)
    graph = helper.make_graph(
        _nodes(actor),
        "guide",
        [_tensor("observation", OBSERVATION_SIZE), _tensor("action_history", HISTORY_SIZE)],
        [_tensor("action", ACTION_SIZE), _tensor("action_history_next", HISTORY_SIZE)],
        [numpy_helper.from_array(x, name) for name, x in constants.items()],
    )
    opset = helper.make_opsetid("", OPSET_VERSION)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    model.producer_name = "snn_controller"
    onnx.checker.check_model(model)
    return model


def _nodes(actor: ActorOfGuide) -> list[onnx.NodeProto]:
    """Return the actor, then the history without its oldest action and with the new one."""
    nodes = [helper.make_node("Concat", ["observation", "action_history"], ["x0"], axis=1)]
    nodes += actor_nodes(actor)
    history = ["action_history", "one_action", "end", "time"]
    nodes.append(helper.make_node("Slice", history, ["kept"]))
    nodes.append(helper.make_node("Concat", ["kept", "action"], ["action_history_next"], axis=1))
    return nodes


def _tensor(name: str, size: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])


def _fly(
    actor: ActorOfGuide, observations: NDArray[np.float32]
) -> tuple[dict[str, Rows], Rows, float]:
    """Return inputs, actions and margin of a flight, for the self-test."""
    actions, margin = fly_closely(actor, observations)
    return {"observation": observations.tolist()}, actions.tolist(), margin


@torch.no_grad()
def fly_closely(
    actor: ActorOfGuide, observations: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Return what an actor answers observations (ticks, 18) with, and how near a membrane came.

    Actions are (ticks, 4). The distance of a membrane from its threshold is infinite in an actor
    without spikes.
    """
    history, actions, margin = np.zeros((1, HISTORY_SIZE), np.float32), [], math.inf
    for observation in observations:
        inputs = torch.from_numpy(np.concatenate([observation[None], history], axis=1))
        actions.append(actor(inputs).numpy()[0])
        if isinstance(actor, SpikingGuideActor):
            margin = min(margin, actor.margin(inputs))
        history = append_action(history, actions[-1][None])
    return np.stack(actions), margin
