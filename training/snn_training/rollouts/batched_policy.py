"""A policy artifact for many drones at once: one run of the graph ticks them all.

Artifacts have a fixed batch of one, which is what flight is fast with. Here the first dimension of
every input and output is made free. Most graphs do not mind; whether this one does is found out
with the artifact's own self-test among other rows. If it does, it is run drone by drone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from snn_controller.policy import FIXED_INPUTS, Policy, import_onnxruntime, read_artifact
from snn_controller.vehicle import ACTION_SIZE

if TYPE_CHECKING:
    import onnxruntime


_DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}
Arrays = dict[str, NDArray[Any]]


class Observed(Protocol):
    """Whatever shows observations (count, 18)."""

    @property
    def observations(self) -> NDArray[np.float32]:
        """Observations (count, 18), as in flight."""
        ...


class BatchedPolicy:
    """One policy with a neuron state per drone."""

    def __init__(self, policy: Policy, count: int) -> None:
        """Open the artifact of a loaded, so already checked, policy for a number of drones."""
        self.metadata = policy.metadata
        self._target_return = policy.target_return
        self.count = count
        content = read_artifact(policy.path)
        self._session, self.row_by_row = open_session(content), True
        batched = _open_batched(content)
        if batched is not None and _passes_self_test(batched, policy):
            self._session, self.row_by_row = batched, False
        self._nodes = {node.name: node for node in self._session.get_inputs()}
        self._outputs: Arrays = {}
        self._states: Arrays = {}
        self.reset()

    def reset(self, drones: NDArray[np.bool_] | None = None) -> None:
        """Forget the past of every drone, or of those of a mask (count,)."""
        if drones is not None:
            for array in (*self._states.values(), self._action):
                array[drones] = 0
            return
        self._states = empty_states(self._session, self.count)
        self._action = np.zeros((self.count, ACTION_SIZE), np.float32)
        self._outputs = {}

    def act(self, senses: Observed) -> NDArray[np.float32]:
        """Return the actions (count, 4), as an actor of `snn_training.rollouts.actors`."""
        return self.step(senses.observations)

    def set_applied_action(self, applied: NDArray[np.floating]) -> None:
        """Remember that other actions (count, 4) were flown than the last that `step` gave."""
        self._action = np.array(applied, np.float32)

    def snapshot(self) -> Arrays:
        """Return copies of the states and of the last action."""
        return {"action": self._action.copy(), **{k: x.copy() for k, x in self._states.items()}}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a snapshot of as many drones."""
        self._action = np.array(snapshot["action"])
        self._states = {name: np.array(snapshot[name]) for name in self._states}

    def step(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Advance every drone by one tick and return the actions (count, 4)."""
        inputs: Arrays = {"observation": observations, **self._states}
        if "last_applied_action" in self._nodes:
            inputs["last_applied_action"] = self._action
        if "target_return" in self._nodes:
            inputs["target_return"] = np.full((self.count, 1), self._target_return, np.float32)
        self._outputs = self._run(inputs)
        self._states = {name: self._outputs[f"{name}_next"] for name in self._states}
        self._action = self._outputs["action"]
        return self._action

    @property
    def spikes(self) -> dict[str, NDArray[np.bool_]]:
        """Spikes of the last tick, layer -> (count, neurons)."""
        return {x.name: self._outputs[f"spikes_{x.name}"] != 0 for x in self.metadata.layers}

    @property
    def spike_shares(self) -> dict[str, NDArray[np.float64]]:
        """Share of each layer's neurons (count,) that fired in the last tick."""
        return {name: spike_counts(x) / x.shape[1] for name, x in self.spikes.items()}

    @property
    def synaptic_ops(self) -> NDArray[np.int64]:
        """Synaptic operations (count,) of the last tick: spikes times fan-out."""
        fan_out = {layer.name: layer.fan_out for layer in self.metadata.layers}
        operations = np.zeros(self.count, np.int64)
        for name, fired in self.spikes.items():
            operations += spike_counts(fired) * fan_out[name]
        return operations

    def _run(self, inputs: Arrays) -> Arrays:
        if not self.row_by_row:
            return run(self._session, inputs)
        rows = [
            run(self._session, {name: x[i : i + 1] for name, x in inputs.items()})
            for i in range(self.count)
        ]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def spike_counts(fired: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Return how many neurons fired (...) of spikes (..., neurons)."""
    # several times as fast as count_nonzero along an axis
    return np.add.reduce(fired.view(np.uint8), axis=-1, dtype=np.uint32)


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """Open a graph on one thread."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, inputs: Arrays) -> Arrays:
    """Run a graph and return all its outputs by name."""
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, map(np.asarray, session.run(names, inputs)), strict=True))


def empty_states(session: onnxruntime.InferenceSession, count: int) -> Arrays:
    """Return the states of a number of drones after a reset, input name -> (count, ...)."""
    return {
        node.name: np.zeros((count, *node.shape[1:]), _DTYPES[node.type])
        for node in session.get_inputs()
        if node.name not in FIXED_INPUTS
    }


def _open_batched(content: bytes) -> onnxruntime.InferenceSession | None:
    """Return the graph with a free first dimension, None if it cannot even be loaded so."""
    model = onnx.load_from_string(content)
    for value in (*model.graph.input, *model.graph.output):
        dimension = value.type.tensor_type.shape.dim[0]
        dimension.dim_param = "batch"
    del model.graph.value_info[:]  # shapes in between, which speak of a batch of one
    try:
        return open_session(model.SerializeToString())
    except Exception:  # onnxruntime raises its own types, none of them public
        return None


def _passes_self_test(session: onnxruntime.InferenceSession, policy: Policy) -> bool:
    """Whether the self-test comes out right in the outer rows, with another flight in between."""
    test = policy.metadata.self_test
    forward = {name: np.asarray(x, np.float32) for name, x in test.inputs.items()}
    states = empty_states(session, 3)
    for tick, expected in enumerate(test.actions):
        rows = {name: np.stack([x[tick], x[-1 - tick], x[tick]]) for name, x in forward.items()}
        try:
            outputs = run(session, {**rows, **states})
        except Exception:  # as above
            return False
        states = {name: outputs[f"{name}_next"] for name in states}
        action = outputs["action"]
        if action.shape != (3, ACTION_SIZE):
            return False
        if not np.abs(action[[0, 2]] - np.asarray(expected)).max() <= test.tolerance:
            return False
    return True
