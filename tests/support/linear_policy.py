"""A policy of kind `thrust_rates` without training: linear feedback as an artifact.

It stands in for a trained policy where a test is about the flight controller: thrust and rates
that hold a hover, from 18 observations by one matrix.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from snn_controller.policy.artifact import FORMAT_VERSION, ZERO_DIGEST, seal
from snn_controller.vehicle.action import ACTION_MAPPINGS, RATE_LIMITS
from snn_controller.vehicle.frames import GRAVITY
from snn_controller.vehicle.observation import (
    OBSERVATION_VERSION,
    OBSERVATIONS,
    POSITION_ERROR,
    ROTATION_MATRIX,
    VELOCITY_ERROR,
)

POSITION, VELOCITY = 4.0, 3.0  # 1/s^2, 1/s
TILT, YAW = 6.0, 2.0  # 1/s, body rate per angle
CONTROL_RATE = 100.0  # Hz
SELF_TEST_TICKS = 4


def feedback() -> NDArray[np.float32]:
    """Return the matrix (4, 18) from observation v1 to action, for small angles."""
    matrix = np.zeros((4, 18))
    x, y, z = (_axis(axis) for axis in range(3))
    roll, pitch, yaw = _entry(2, 1), -_entry(2, 0), _entry(1, 0)
    matrix[0] = z / GRAVITY
    matrix[1] = TILT * (-y / GRAVITY - roll) / RATE_LIMITS[0]
    matrix[2] = TILT * (x / GRAVITY - pitch) / RATE_LIMITS[1]
    matrix[3] = -YAW * yaw / RATE_LIMITS[2]
    return matrix.astype(np.float32)


def write_linear_policy(
    path: Path, airframe: str = "crazyflie21", *, version: int = OBSERVATION_VERSION
) -> Path:
    """Write the artifact and return its path; numbers beyond the first 18 it does not use."""
    size = OBSERVATIONS[version].size
    matrix = np.pad(feedback(), ((0, 0), (0, size - 18)))
    inputs = np.random.default_rng(0).uniform(-0.3, 0.3, (SELF_TEST_TICKS, size))
    inputs = inputs.astype(np.float32)
    actions = np.clip(inputs @ matrix.T, -1.0, 1.0)
    model = _model(matrix)
    metadata = {
        "format_version": FORMAT_VERSION,
        "observation_version": version,
        "action_kind": "thrust_rates",
        "action_mapping": ACTION_MAPPINGS["thrust_rates"],
        "control_rate": CONTROL_RATE,
        "airframe": airframe,
        "layers": [],
        "input_macs": matrix.size,
        "provenance": {},
        "self_test": {
            "inputs": {"observation": inputs.tolist()},
            "actions": actions.tolist(),
            "tolerance": 1e-4,
        },
        "digest": ZERO_DIGEST,
    }
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    path.write_bytes(seal(model.SerializeToString(deterministic=True)))
    return path


def _axis(axis: int) -> NDArray[np.float64]:
    """Return the row (18,) that gives the acceleration towards the reference along one axis."""
    row = np.zeros(18)
    row[POSITION_ERROR.start + axis], row[VELOCITY_ERROR.start + axis] = -POSITION, -VELOCITY
    return row


def _entry(row: int, column: int) -> NDArray[np.float64]:
    """Return the row (18,) that picks an entry of the rotation matrix."""
    picked = np.zeros(18)
    picked[ROTATION_MATRIX.start + 3 * row + column] = 1.0
    return picked


def _model(matrix: NDArray[np.float32]) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gemm", ["observation", "feedback"], ["raw"], transB=1),
        helper.make_node("Clip", ["raw", "low", "high"], ["action"]),
    ]
    constants = {"feedback": matrix, "low": np.float32(-1.0), "high": np.float32(1.0)}
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, [1, matrix.shape[1]])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
