"""The graphs of the guide's actors, from inputs `x0` (1, 146) to `action` (1, 4), node by node.

A spiking actor is unrolled over its steps, which begin from rest at every tick: the graph has no
state but the action history.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from training.actor_critic import GuideActor
from training.guide_actors import ActorOfGuide
from training.stepped_network import SpikingGuideActor

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
