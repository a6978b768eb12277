"""The onnxruntime session of a policy: one thread, on the CPU, with bounded memory and time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Timer
from types import ModuleType
from typing import TYPE_CHECKING, Any

from snn_controller.errors import UserError, quote
from snn_controller.policy.artifact import EXPORT_AGAIN

if TYPE_CHECKING:
    import onnxruntime


MAX_MEMORY = 512 * 1024 * 1024  # bytes for weights and tensors of all policies of a process


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
    """Give options for runs that onnxruntime ends, with an exception, once the time is over."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    timer = Timer(seconds, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


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
