"""Runtime of a policy artifact: load and check `policy.onnx`, own the neuron state, tick it.

Graph inputs are `observation`, optionally `last_applied_action` and `target_return`, and the
states; a state `X` comes back as the output `X_next`. Spikes leave as `spikes_<layer>`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Event, Thread
from time import process_time
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_controller.errors import UserError, quote
from snn_controller.policy.artifact import (
    EXPORT_AGAIN,
    PolicyMetadata,
    check_pin,
    parse_metadata,
    read_artifact,
    sha256_of,
)
from snn_controller.policy.checks import (
    DTYPES,
    FIXED_INPUTS,
    check_expectations,
    check_graph,
    check_graph_bytes,
)

if TYPE_CHECKING:
    import onnxruntime


MAX_MEMORY = 512 * 1024 * 1024  # bytes for weights and tensors of all policies of a process
SELF_TEST_PATIENCE = 5.0  # s of processor time, a thousand times what it takes


def import_onnxruntime() -> ModuleType:
    """Return the module, told to report to nobody.

    Raises:
        UserError: It is missing.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # its wheels would report to their maker
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "onnxruntime is not installed, so no policy can be loaded; pip install onnxruntime"
        ) from error
    return onnxruntime


def open_session(content: bytes, path: Path) -> onnxruntime.InferenceSession:
    """Return a session of a graph whose bytes have been checked.

    Raises:
        UserError: onnxruntime is missing or cannot run the graph.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong comes as an exception
    _bound_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
            # It would compute what is constant while loading, with memory that nothing bounds.
            disabled_optimizers=["ConstantFolding"],
            enable_fallback=False,  # it would print, and try the same again
        )
    except Exception as error:  # onnxruntime raises its own types, none of them public
        reason = quote(str(error).strip().splitlines()[0])
        raise UserError(
            f"policy {path} is not a graph that onnxruntime {onnxruntime.__version__} can run "
            f"({reason}); {EXPORT_AGAIN} or update onnxruntime"
        ) from error


@contextmanager
def time_limit(seconds: float) -> Iterator[Any]:
    """Give options for runs that onnxruntime ends, with an exception, once the time is over.

    It is processor time of this process: a busy machine makes no policy unfit.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    over, end = Event(), process_time() + seconds

    def watch() -> None:
        while not over.wait(max(end - process_time(), 0.0)):
            if process_time() >= end:
                options.terminate = True
                return

    Thread(target=watch, daemon=True).start()
    try:
        yield options
    finally:
        over.set()


@cache
def _bound_memory() -> None:
    """Register the process's one allocator; a graph that asks for more fails with an exception."""
    import onnxruntime

    kinds = onnxruntime.OrtAllocatorType, onnxruntime.OrtMemType
    place = onnxruntime.OrtMemoryInfo("Cpu", kinds[0].ORT_ARENA_ALLOCATOR, 0, kinds[1].DEFAULT)
    settings = {
        "max_mem": MAX_MEMORY,
        "arena_extend_strategy": 1,  # by what is asked for, not by powers of two
        "initial_chunk_size_bytes": -1,  # the last two: onnxruntime's own
        "max_dead_bytes_per_chunk": -1,
    }
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(settings))


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
        self._run_options: Any = None
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
        self.target_return = metadata.target_return  # asked for from a reset on
        self.reset()

    @staticmethod
    def load(
        path: str | Path,
        *,
        sha256: str = "",
        airframe: str | None = None,
        control_rate: float | None = None,
        action_kind: str | None = None,
        observation_version: int | None = None,
    ) -> Policy:
        """Load an artifact, check it, run its self-test and return it reset.

        Args:
            path: The `policy.onnx` file.
            sha256: Hash that the file must have, 64 hexadecimal digits; empty for any.
            airframe: Airframe that it must have been trained for, if given.
            control_rate: Rate in Hz that it must have been trained at, if given.
            action_kind: Kind of action that it must give, if given.
            observation_version: Observation that it must have been trained on, if given.

        Raises:
            UserError: The file is unusable or does not match; the sentence says how to mend it.
        """
        path = Path(path)
        content = read_artifact(path)
        check_pin(content, sha256, path)  # before anything looks into the file
        check_graph_bytes(content, path)
        session = open_session(content, path)
        metadata = parse_metadata(session.get_modelmeta().custom_metadata_map, path)
        check_graph(session, metadata, path)
        check_expectations(
            metadata,
            path,
            airframe=airframe,
            control_rate=control_rate,
            action_kind=action_kind,
            observation_version=observation_version,
        )
        policy = Policy(session, metadata, path, sha256_of(content))
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
            self._target_return.fill(self.target_return)

    def aim(self, target: float) -> float:
        """Ask for a return from now on; give the one within the policy's range that is asked for.

        Raises:
            UserError: The policy takes none, or the target is not finite.
        """
        if self._target_return is None:
            raise UserError(
                f"policy {self.path} takes no target return; leave out target_return, or fly a "
                "policy of training/decision_transformer.py"
            )
        if not math.isfinite(target):
            raise UserError(f"target_return {target} is no return; give a finite number")
        low, high = self.metadata.target_return_range
        self.target_return = min(max(target, low), high)
        self._target_return.fill(self.target_return)
        return self.target_return

    def step(
        self,
        observation: ArrayLike,
        *,
        last_applied_action: ArrayLike | None = None,
        target_return: float | None = None,
    ) -> NDArray[np.float32]:
        """Advance the network by one control tick and return the action (4,) in [-1, 1].

        Args:
            observation: As `metadata.observation.observe` gives it, (size,).
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
        self._session.run_with_iobinding(self._bindings[self._current], self._run_options)
        self._current = 1 - self._current
        return self._action[0].copy()

    def heed(self, applied: ArrayLike) -> None:
        """Remember that another action (4,) was applied than the last that `step` gave."""
        self._action[0] = applied

    @property
    def last_action(self) -> NDArray[np.float32]:
        """Action (4,) of the last tick, or what was applied instead; zeros after a reset."""
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
        try:
            with time_limit(SELF_TEST_PATIENCE) as self._run_options:
                worst = self._self_test_error()
        except Exception as error:  # onnxruntime raises its own types, none of them public
            raise UserError(
                f"policy {self.path} cannot run its self-test ({quote(error)}); {EXPORT_AGAIN}"
            ) from error
        finally:
            self._run_options = None
        self.reset()
        if not worst <= test.tolerance:
            raise UserError(
                f"policy {self.path} fails its self-test: actions differ by {worst:.2g} from those "
                f"of the trained network (allowed {test.tolerance:.2g}); {EXPORT_AGAIN} and check "
                "the onnxruntime installation"
            )

    def _self_test_error(self) -> float:
        """Return the largest difference of an action from the stored one, infinite for NaN."""
        test, worst = self.metadata.self_test, 0.0
        for tick, expected in enumerate(test.actions):
            inputs: dict[str, Any] = {name: rows[tick] for name, rows in test.inputs.items()}
            if "target_return" in inputs:
                inputs["target_return"] = float(inputs["target_return"][0])
            error = np.abs(self.step(**inputs) - np.asarray(expected)).max()
            worst = max(worst, float(error) if np.isfinite(error) else np.inf)
        return worst


def _allocate(nodes: Any, names: Any) -> dict[str, NDArray[Any]]:
    return {x.name: np.zeros(x.shape, DTYPES[x.type]) for x in nodes if x.name in names}
