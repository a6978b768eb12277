"""The C kernel of the LIF recurrence: built on first use into a cache folder, loaded by ctypes.

The library's name holds a digest of its source, the compiler and the processor, so a home folder
shared by several machines or versions is no trouble. It is built under a temporary name and moved
into place, so several processes may build at once.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from torch import Tensor

SOURCE = Path(__file__).with_name("lif_kernel.c")
# -march=native is dropped where a compiler does not know it.
FLAGS = ("-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math")
BUILD_SECONDS = 60.0


class CKernel:
    """Forward and backward of one layer's recurrence in C; releases Python's lock meanwhile."""

    def __init__(self, library: Path) -> None:
        """Load a built library.

        Raises:
            OSError: It cannot be loaded.
        """
        functions = ctypes.CDLL(str(library))
        sizes, pointer = [ctypes.c_size_t] * 3, ctypes.c_void_p
        self._forward, self._backward = functions.lif_forward, functions.lif_backward
        self._forward.argtypes = [*sizes, ctypes.c_int, *[pointer] * 6]
        self._backward.argtypes = [*sizes, ctypes.c_int, ctypes.c_float, *[pointer] * 10]
        self._forward.restype = self._backward.restype = None

    def forward(
        self,
        membranes: Tensor,
        spikes: Tensor,
        start: Tensor,
        beta: Tensor,
        threshold: Tensor,
        keep: Tensor | None,
        hard: bool,
    ) -> None:
        """Turn currents (ticks, rows, neurons) into membranes in place and fill in the spikes."""
        arrays = (start, beta, threshold, keep, membranes, spikes)
        self._forward(*membranes.shape, hard, *map(_address, arrays))

    def backward(
        self,
        grad_current: Tensor,
        later: Tensor,
        sums: Tensor,
        grad_spikes: Tensor,
        membranes: Tensor,
        start: Tensor,
        beta: Tensor,
        threshold: Tensor,
        keep: Tensor | None,
        hard: bool,
        slope: float,
    ) -> None:
        """Fill grad_current and sums (3, neurons); turn later from the last to the first tick."""
        arrays = (start, beta, threshold, keep, membranes, grad_spikes, grad_current, later, sums)
        parts = sums.new_empty(sums.shape)
        self._backward(*membranes.shape, hard, slope, *map(_address, (*arrays, parts)))


@cache
def load_c_kernel() -> CKernel | None:
    """Return the kernel, built if need be, or None where that cannot be done."""
    compiler = find_compiler()
    if compiler is None:
        return None
    try:
        return CKernel(build(compiler, cache_folder()))
    except (OSError, RuntimeError, subprocess.SubprocessError):  # RuntimeError: no home folder
        return None


def find_compiler() -> str | None:
    """Return the path of the C compiler: $CC, else cc, gcc or clang; None where there is none."""
    names = [name for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name]
    return next((path for name in names if (path := shutil.which(name))), None)


def cache_folder() -> Path:
    """Return where built kernels are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "snn_controller"


def build(compiler: str, folder: Path) -> Path:
    """Return the library for this machine, built if it is not there yet.

    Raises:
        OSError: The folder cannot be written.
        SubprocessError: The compiler fails.
    """
    library = folder / f"lif_kernel-{_digest(compiler)}.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        built = Path(temporary) / "kernel.so"
        try:
            _compile(compiler, built, ("-march=native",))
        except subprocess.CalledProcessError:
            _compile(compiler, built, ())
        os.replace(built, library)
    return library


def _compile(compiler: str, output: Path, extra: tuple[str, ...]) -> None:
    command = [compiler, *FLAGS, *extra, "-o", str(output), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, timeout=BUILD_SECONDS)


def _digest(compiler: str) -> str:
    version = subprocess.run(
        [compiler, "--version"], check=True, capture_output=True, timeout=BUILD_SECONDS
    ).stdout
    parts = (SOURCE.read_bytes(), " ".join(FLAGS).encode(), version, _processor().encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> str:
    """Return what -march=native depends on, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    keys = ("model name", "flags", "Features", "CPU part")
    return platform.machine() + "".join(sorted({x for x in lines if x.startswith(keys)}))


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
