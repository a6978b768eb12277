"""Guarded access to PyBullet: one clear sentence where it is missing, no banner on stderr."""

from __future__ import annotations

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
        with _quiet_stderr():
            import pybullet
    except ImportError as error:
        raise UserError(
            f"the simulator needs PyBullet ({error}): pip install -e '.[flight]'; "
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
    if gui:
        _arrange_window(pybullet, client)
    return client


def _arrange_window(pybullet: ModuleType, client: int) -> None:
    """Hide the debugging panels and look at where a drone hovers."""
    pybullet.configureDebugVisualizer(pybullet.COV_ENABLE_GUI, 0, physicsClientId=client)
    pybullet.resetDebugVisualizerCamera(
        cameraDistance=2.0,
        cameraYaw=50.0,
        cameraPitch=-20.0,
        cameraTargetPosition=(0.0, 0.0, 0.8),
        physicsClientId=client,
    )


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what C code writes to stderr, because PyBullet greets there on import."""
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all, nothing to keep quiet
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
