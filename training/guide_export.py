"""Export the guide's actor to `policy.onnx`: its action history becomes a state of the graph.

The state `action_history` (1, 128) holds the policy's own last 32 actions, oldest first. It starts
from zeros, as every state of an artifact does, and each tick appends the newest action.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from snn_controller.action import ACTION_MAPPINGS, ACTION_SIZE
from snn_controller.artifact import FORMAT_VERSION, ZERO_DIGEST, seal
from snn_controller.errors import UserError
from snn_controller.observation import OBSERVATION_SIZE, OBSERVATION_VERSION

from sim.drone import CONTROL_RATE
from training.export import (
    IR_VERSION,
    OPSET_VERSION,
    SELF_TEST_CANDIDATES,
    SELF_TEST_MARGIN,
    SELF_TEST_TICKS,
    SELF_TEST_TOLERANCE,
    ArtifactInfo,
    flight_like_observations,
)
from training.files import write_atomically
from training.guide_actors import ActorOfGuide
from training.guide_graph import actor_constants, actor_nodes, multiply_accumulates
from training.history import HISTORY_SIZE, append_action
from training.stepped_network import SpikingGuideActor


def export_guide(actor: ActorOfGuide, path: Path, info: ArtifactInfo) -> None:
    """Write the artifact of an actor that was trained at the simulators' control rate, atomically.

    Raises:
        UserError: The actor has weights that are not finite, or the file cannot be written.
    """
    if not all(bool(torch.isfinite(x).all()) for x in actor.parameters()):
        raise UserError("the guide has weights that are not finite; train it again")
    model = _graph(actor)
    for key, value in _metadata(actor, info).items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    model.metadata_props.add(key="digest", value=json.dumps(ZERO_DIGEST))
    write_atomically(path, seal(model.SerializeToString(deterministic=True)))


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


def _metadata(actor: ActorOfGuide, info: ArtifactInfo) -> Mapping[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "observation_version": OBSERVATION_VERSION,
        "action_kind": info.action_kind,
        "action_mapping": ACTION_MAPPINGS[info.action_kind],
        "control_rate": CONTROL_RATE,
        "airframe": info.airframe,
        "layers": [],  # none that keeps a state between ticks
        "input_macs": multiply_accumulates(actor),
        "provenance": dict(info.provenance),
        "evaluation": dict(info.evaluation),
        "spike_statistics": {},
        "self_test": _self_test(actor),
    }


def _self_test(actor: ActorOfGuide) -> dict[str, Any]:
    """Find a sequence in which rounding cannot flip a spike, and the actions the actor gives."""
    for candidate in range(SELF_TEST_CANDIDATES):
        observations = flight_like_observations(SELF_TEST_TICKS, np.random.default_rng(candidate))
        actions, margin = fly_closely(actor, observations)
        if margin > SELF_TEST_MARGIN:
            return {
                "inputs": {"observation": [[float(x) for x in row] for row in observations]},
                "actions": [[float(x) for x in row] for row in actions],
                "tolerance": SELF_TEST_TOLERANCE,
            }
    raise UserError(
        "no self-test sequence keeps all membranes off their thresholds; train the guide again"
    )


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
