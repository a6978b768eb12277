"""The betaflight link and the real firmware: Betaflight 4.6.0, built once and cached.

Real time, so a busy machine may spoil a flight: it gets a second chance, and where that fails for
want of time too, the test is skipped with what was measured. Skipped too where the firmware cannot
be built (a compiler, make and the package registry are needed the first time).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_sim.betaflight import sitl
from snn_sim.betaflight.sitl import cached_binary, find_firmware, isolated, obtain_firmware
from support.betaflight_double import SETTINGS
from support.linear_policy import write_linear_policy
from support.places import ROOT
from support.real_time import in_real_time


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No package, no variable, an empty cache."""
    monkeypatch.setattr(sitl, "PACKAGE", "no_such_package")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("BETAFLIGHT_SITL", raising=False)
    return tmp_path


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_nothing_is_found_where_nothing_is(nothing_installed: Path) -> None:
    assert find_firmware() is None


def test_the_cached_and_the_named_binary_are_found(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = program(cached_binary())
    assert "0.0.6" in cached.name  # another version is another file
    assert find_firmware() == obtain_firmware() == cached
    named = program(nothing_installed / "mine")
    monkeypatch.setenv("BETAFLIGHT_SITL", str(named))
    assert find_firmware() == named


def test_a_wrong_name_is_told(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETAFLIGHT_SITL", "/nowhere/sitl")
    with pytest.raises(UserError, match="BETAFLIGHT_SITL=/nowhere/sitl is no program"):
        obtain_firmware()


def test_missing_tools_are_named(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(UserError, match="needs gcc and make"):
        obtain_firmware()


def test_a_build_is_kept_and_a_failed_one_explained(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    fail = subprocess.CompletedProcess([], 1, "", "ERROR: no network\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: fail)
    with pytest.raises(UserError, match=r"could not be built .*ERROR: no network.*set BETAFLIGHT"):
        obtain_firmware()

    def build(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--target") + 1])
        program(folder / "no_such_package/firmware/obj/betaflight_4.6.0_SITL")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", build)
    built = obtain_firmware()
    assert built == cached_binary()
    assert built.read_text() == "#!/bin/sh\n"


CHANCES = 2


@pytest.fixture(scope="module")
def firmware() -> Path:
    """The firmware; building it takes about a minute."""
    try:
        return obtain_firmware()
    except (UserError, OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"Betaflight's firmware is not to be had: {error}")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, env=environment
    )


def fly(folder: Path) -> dict[str, Any]:
    """Fly the shipped policy once and return the result."""
    policy, report = policy_path("hover_rates"), folder / "flight.json"
    words = ["--policy", str(policy), "--flights", "1", "--hover", "5", "--json", str(report)]
    process = run("benchmarks/betaflight_flights.py", *words)
    assert report.exists(), process.stderr
    return json.loads(report.read_text())["results"][0]


@pytest.mark.slow
@in_real_time
def test_the_firmware_hovers_recovers_and_disarms_when_the_link_is_lost(
    firmware: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETAFLIGHT_SITL", str(firmware))
    results = []
    while len(results) < CHANCES and not (results and results[-1]["passed"]):
        results.append(fly(tmp_path))
    result = results[-1]
    assert result["passed"], results
    assert result["armed_after"] < 10.0
    assert result["hover_error"] < 0.05
    failsafe = result["failsafe"]
    assert failsafe["signal lost"] < 0.6
    assert 0.2 < failsafe["throttle dropped"] < 0.8
    assert 1.3 < failsafe["disarmed"] < 2.2


def test_the_double_has_the_settings_of_the_real_firmware(firmware: Path) -> None:
    script = str(ROOT / "tests" / "support" / "betaflight_settings.py")
    command = isolated([sys.executable, script, str(firmware)])
    if command is None:
        pytest.skip("no network namespace of its own for the firmware's fixed ports")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr
    answers = {int(k): bytes(v) for k, v in json.loads(process.stdout).items()}
    assert answers == SETTINGS


@pytest.mark.slow
@in_real_time
def test_one_command_flies_the_whole_stack_with_the_firmware(
    firmware: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ros_environment: dict[str, str]
) -> None:
    """Take-off, hover and landing by `snn-fly`, every node a process; about 25 s."""
    pytest.importorskip("rclpy")
    monkeypatch.setenv("BETAFLIGHT_SITL", str(firmware))
    policy = write_linear_policy(tmp_path / "linear.onnx")
    words = ["link:=betaflight", "endpoint:=sitl", "auto_start:=always", "duration:=3"]
    folder = tmp_path / "report"
    runner = [sys.executable, "-m", "snn_controller.bringup.runner"]
    command = isolated([*runner, *words, f"policy:={policy}", f"report:={folder}"])
    if command is None:
        pytest.skip("no network namespace of its own for the firmware's fixed ports")
    for chance in range(CHANCES):
        process = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if process.returncode == 0 or chance == CHANCES - 1:
            break
    assert process.returncode == 0, process.stdout + process.stderr
    report = json.loads((folder / "report.json").read_text())
    assert report["survived"] is True
    assert report["link"] == "betaflight" and report["action_kind"] == "thrust_rates"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["controller killed", "damaged bytes and garbage"])
@in_real_time
def test_a_fault_on_the_way_to_the_firmware_ends_as_it_must(
    firmware: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("BETAFLIGHT_SITL", str(firmware))
    policy = write_linear_policy(tmp_path / "linear.onnx")
    words = ["--policy", str(policy), "--flights", "1", "--fault", fault]
    for seed in range(CHANCES):
        process = run("benchmarks/betaflight_faults.py", *words, "--seed", str(seed))
        if process.returncode == 0:
            return
    pytest.fail(process.stdout + process.stderr)
