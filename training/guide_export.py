"""Export the guide's actor to `policy.onnx`: its action history becomes a state of the graph.

The state `action_history` (1, 128) holds the policy's own last 32 actions, oldest first. It starts
from zeros, as every state of an artifact does, and each tick appends the newest action.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from snn_controller.action import ACTION_SIZE
from snn_controller.observation import OBSERVATION_SIZE

from sim.drone import CONTROL_RATE
from training.artifact_file import ArtifactInfo, Tick, require_finite, write_artifact
from training.guide_actors import ActorOfGuide
from training.guide_graph import actor_constants, actor_nodes, multiply_accumulates
from training.history import HISTORY_SIZE, append_action
from training.self_test import Rows
from training.stepped_network import SpikingGuideActor
from training.traced_graph import IR_VERSION, OPSET_VERSION


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


def fly_blind(actor: ActorOfGuide, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the actions (ticks, 4) that an actor answers observations (ticks, 18) with."""
    return fly_closely(actor, observations)[0]


@torch.no_grad()
def fly_closely(
    actor: ActorOfGuide, observations: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Return actions as `fly_blind`, and how near a membrane came to its threshold.

    That is infinitely far in an actor without spikes.
    """
    history, actions, margin = np.zeros((1, HISTORY_SIZE), np.float32), [], math.inf
    for observation in observations:
        inputs = torch.from_numpy(np.concatenate([observation[None], history], axis=1))
        actions.append(actor(inputs).numpy()[0])
        if isinstance(actor, SpikingGuideActor):
            margin = min(margin, actor.margin(inputs))
        history = append_action(history, actions[-1][None])
    return np.stack(actions), margin
