"""Runtime of a policy artifact: load and check `policy.onnx`, own the neuron state, tick it.

Graph inputs are `observation`, optionally `last_applied_action` and `target_return`, and the
states; a state `X` comes back as the output `X_next`. Spikes leave as `spikes_<layer>`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_controller.action import ACTION_SIZE
from snn_controller.artifact import EXPORT_AGAIN, PolicyMetadata, parse_metadata, read_artifact
from snn_controller.errors import UserError
from snn_controller.observation import OBSERVATION_SIZE

if TYPE_CHECKING:
    import onnxruntime

FIXED_INPUTS = {
    "observation": (1, OBSERVATION_SIZE),
    "last_applied_action": (1, ACTION_SIZE),
    "target_return": (1, 1),
}
_DTYPES: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


class Policy:
    """One loaded policy with its neuron state; make it with `Policy.load`. Not thread-safe.

    States live in two sets of buffers that swap roles every tick, so no state is ever copied.
    """

    def __init__(self, session: Any, metadata: PolicyMetadata, path: Path, sha256: str) -> None:
        """Allocate buffers for a checked session; `Policy.load` does the checking."""
        self.metadata = metadata
        self.path = path
        self.sha256 = sha256  # of the file
        self._session = session
        self._inputs = _allocate(session.get_inputs(), FIXED_INPUTS)
        self._outputs = _allocate(
            session.get_outputs(), {"action", *(f"spikes_{x.name}" for x in metadata.layers)}
        )
        state_nodes = [node for node in session.get_inputs() if node.name not in FIXED_INPUTS]
        names = {node.name for node in state_nodes}
        self._states = (_allocate(state_nodes, names), _allocate(state_nodes, names))
        self._bindings = (self._bind(0), self._bind(1))
        self._current = 0  # which of the two state sets holds the present state
        self._action = self._outputs["action"]
        self._observation = self._inputs["observation"]
        self._last_applied = self._inputs.get("last_applied_action")
        self._target_return = self._inputs.get("target_return")
        self.reset()

    @staticmethod
    def load(
        path: str | Path,
        *,
        airframe: str | None = None,
        control_rate: float | None = None,
        action_kind: str | None = None,
    ) -> Policy:
        """Load an artifact, check it, run its self-test and return it reset.

        Args:
            path: The `policy.onnx` file.
            airframe: Airframe that it must have been trained for, if given.
            control_rate: Rate in Hz that it must have been trained at, if given.
            action_kind: Kind of action that it must give, if given.

        Raises:
            UserError: The file is unusable or does not match; the sentence says how to mend it.
        """
        path = Path(path)
        content = read_artifact(path)
        session = _open_session(content, path)
        metadata = parse_metadata(session.get_modelmeta().custom_metadata_map, path)
        _check_graph(session, metadata, path)
        _check_expectations(metadata, path, airframe, control_rate, action_kind)
        policy = Policy(session, metadata, path, hashlib.sha256(content).hexdigest())
        policy._self_test()
        return policy

    def reset(self) -> None:
        """Forget the past: every neuron state becomes zero."""
        for states in self._states:
            for state in states.values():
                state.fill(0)
        for buffer in self._outputs.values():
            buffer.fill(0)
        if self._last_applied is not None:
            self._last_applied.fill(0)
        if self._target_return is not None:
            self._target_return.fill(self.metadata.target_return)

    def step(
        self,
        observation: ArrayLike,
        *,
        last_applied_action: ArrayLike | None = None,
        target_return: float | None = None,
    ) -> NDArray[np.float32]:
        """Advance the network by one control tick and return the action (4,) in [-1, 1].

        Args:
            observation: (18,) as `observation.observe` gives it.
            last_applied_action: (4,) what the drone really did last; own last action if None.
            target_return: Return to aim for; the last one given, or the artifact's, if None.
        """
        self._observation[0] = observation
        if self._last_applied is not None:
            self._last_applied[0] = (
                self._action[0] if last_applied_action is None else last_applied_action
            )
        if self._target_return is not None and target_return is not None:
            self._target_return.fill(target_return)
        self._session.run_with_iobinding(self._bindings[self._current])
        self._current = 1 - self._current
        return self._action[0].copy()

    @property
    def spikes(self) -> dict[str, NDArray[np.bool_]]:
        """Spikes of the last tick, layer -> (neurons,)."""
        return {x.name: self._outputs[f"spikes_{x.name}"][0] != 0 for x in self.metadata.layers}

    def spike_shares(self) -> dict[str, float]:
        """Share of each layer's neurons that fired in the last tick."""
        return {
            x.name: np.count_nonzero(self._outputs[f"spikes_{x.name}"]) / x.neurons
            for x in self.metadata.layers
        }

    @property
    def membranes(self) -> dict[str, NDArray[np.float32]]:
        """Membrane potentials after the last tick, layer -> (neurons,)."""
        states = self._states[self._current]
        return {x.name: states[f"membrane_{x.name}"][0].copy() for x in self.metadata.layers}

    @property
    def synaptic_ops(self) -> int:
        """Synaptic operations of the last tick: spikes times fan-out. Input MACs not included."""
        return sum(
            int(np.count_nonzero(self._outputs[f"spikes_{x.name}"])) * x.fan_out
            for x in self.metadata.layers
        )

    def state_is_finite(self) -> bool:
        """Whether every neuron state is finite."""
        # A sum is finite only if its terms are, and far cheaper than asking each.
        return all(math.isfinite(x.sum()) for x in self._states[self._current].values())

    def _bind(self, current: int) -> Any:
        binding = self._session.io_binding()
        for name, array in {**self._inputs, **self._states[current]}.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        following = {f"{name}_next": x for name, x in self._states[1 - current].items()}
        for name, array in {**self._outputs, **following}.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding

    def _self_test(self) -> None:
        test = self.metadata.self_test
        worst = 0.0
        try:
            for tick, expected in enumerate(test.actions):
                inputs: dict[str, Any] = {name: rows[tick] for name, rows in test.inputs.items()}
                if "target_return" in inputs:
                    inputs["target_return"] = float(inputs["target_return"][0])
                error = np.abs(self.step(**inputs) - np.asarray(expected)).max()
                worst = max(worst, float(error) if np.isfinite(error) else np.inf)
        except (TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"policy {self.path} has a malformed self-test ({error}); {EXPORT_AGAIN}"
            ) from error
        self.reset()
        if not worst <= test.tolerance:
            raise UserError(
                f"policy {self.path} fails its self-test: actions differ by {worst:.2g} from those "
                f"of the trained network (allowed {test.tolerance:.2g}); {EXPORT_AGAIN} and check "
                "the onnxruntime installation"
            )


def _allocate(nodes: Any, names: Any) -> dict[str, NDArray[Any]]:
    return {x.name: np.zeros(x.shape, _DTYPES[x.type]) for x in nodes if x.name in names}


def _open_session(content: bytes, path: Path) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "onnxruntime is not installed, so no policy can be loaded; pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong comes as an exception
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own types, none of them public
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"policy {path} is not a graph that onnxruntime {onnxruntime.__version__} can run "
            f"({reason}); {EXPORT_AGAIN} or update onnxruntime"
        ) from error


@dataclass(frozen=True)
class _Node:
    shape: tuple[Any, ...]
    type: str


def _check_graph(session: Any, metadata: PolicyMetadata, path: Path) -> None:
    """Check names, shapes and types of all inputs and outputs against the metadata."""
    inputs = {x.name: _Node(tuple(x.shape), x.type) for x in session.get_inputs()}
    outputs = {x.name: _Node(tuple(x.shape), x.type) for x in session.get_outputs()}
    expected_inputs = {k: v for k, v in FIXED_INPUTS.items() if k in inputs or k == "observation"}
    expected_outputs = {"action": (1, ACTION_SIZE)}
    for layer in metadata.layers:
        expected_inputs[f"membrane_{layer.name}"] = (1, layer.neurons)
        expected_outputs[f"spikes_{layer.name}"] = (1, layer.neurons)
    for name in inputs.keys() - FIXED_INPUTS.keys():
        expected_outputs[f"{name}_next"] = inputs[name].shape
    for kind, expected, found in (
        ("input", expected_inputs, inputs),
        ("output", expected_outputs, outputs),
    ):
        for name, shape in expected.items():
            if name not in found:
                raise UserError(f"policy {path} has no {kind} '{name}'; {EXPORT_AGAIN}")
            is_state = name.removesuffix("_next") in inputs.keys() - FIXED_INPUTS.keys()
            plain = not is_state or name.startswith("membrane_")
            _check_node(f"{kind} '{name}'", found[name], shape, path, must_be_float=plain)
    unknown = outputs.keys() - expected_outputs.keys()
    if unknown:
        raise UserError(
            f"policy {path} has outputs without a meaning ({', '.join(sorted(unknown))}); "
            f"{EXPORT_AGAIN}"
        )
    if "target_return" in inputs and metadata.target_return is None:
        raise UserError(f"policy {path} lacks the metadata target_return; {EXPORT_AGAIN}")


def _check_node(
    what: str, node: _Node, shape: tuple[Any, ...], path: Path, *, must_be_float: bool
) -> None:
    fixed = all(isinstance(size, int) and size > 0 for size in node.shape)
    known = node.type == "tensor(float)" if must_be_float else node.type in _DTYPES
    if node.shape != shape or not fixed or not known:
        raise UserError(
            f"policy {path} has the wrong shape or type at {what}: {node.shape} {node.type}, "
            f"expected {shape}; {EXPORT_AGAIN}"
        )


def _check_expectations(
    metadata: PolicyMetadata,
    path: Path,
    airframe: str | None,
    control_rate: float | None,
    action_kind: str | None,
) -> None:
    if airframe is not None and metadata.airframe != airframe:
        raise UserError(
            f"policy {path} was trained for the airframe '{metadata.airframe}', not '{airframe}'; "
            "choose that airframe or a policy trained for yours"
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
