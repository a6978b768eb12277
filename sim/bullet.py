"""Guarded access to PyBullet: one clear sentence where it is missing, no banner on stdout."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from snn_controller.errors import UserError


def import_pybullet() -> ModuleType:
    """Return the PyBullet module.

    Raises:
        UserError: It is not installed.
    """
    if "pybullet" in sys.modules:
        return sys.modules["pybullet"]
    try:
        with _quiet_stdout():
            import pybullet
    except ImportError as error:
        raise UserError(
            f"the simulator needs PyBullet ({error}): pip install 'snn-controller[flight]'; "
            "Python 3.12 has no wheel, there pip builds it from source and needs a C++ compiler"
        ) from error
    return pybullet


def connect(*, gui: bool = False) -> int:
    """Open a physics world of its own and return its client id.

    Raises:
        UserError: A window is asked for where there is no display, or the connection fails.
    """
    pybullet = import_pybullet()
    if gui and sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        raise UserError("the simulator window needs a display: set DISPLAY or switch the GUI off")
    client = pybullet.connect(pybullet.GUI if gui else pybullet.DIRECT)
    if client < 0:
        raise UserError("PyBullet refused to open a physics world: close other simulators first")
    return client


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Send what C code writes to stdout to nowhere, because PyBullet greets on import.

    Buffered text is flushed on both sides, so nothing of ours is lost or comes late.
    """
    sys.stdout.flush()
    flush = ctypes.CDLL(None).fflush if os.name == "posix" else lambda _: 0
    try:
        saved = os.dup(1)
    except OSError:  # no stdout at all, nothing to keep quiet
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        flush(None)
        os.dup2(sink, 1)
        yield
        flush(None)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(sink)
