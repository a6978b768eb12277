"""The ROS package as colcon builds it: everything installed, and flying without our pip package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from support.places import ROOT

pytest.importorskip("rclpy")
if shutil.which("colcon", path=Path(sys.executable).parent) is None:
    pytest.skip("colcon is not installed", allow_module_level=True)

WORKSPACE = ROOT / "ros2_ws"
SOURCE = WORKSPACE / "src" / "snn_controller"
COLCON = Path(sys.executable).parent / "colcon"


@pytest.fixture(scope="module", params=["plain", "symlink"])
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace, built into a temporary folder."""
    folder = tmp_path_factory.mktemp(request.param)
    options = ["--symlink-install"] if request.param == "symlink" else []
    command = [COLCON, "--log-base", folder / "log", "build", *options]
    bases = ["--build-base", folder / "build", "--install-base", folder / "install"]
    environment = {**os.environ, "AMENT_PREFIX_PATH": sys.prefix}
    done = subprocess.run(
        [*command, *bases], cwd=WORKSPACE, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "install" / "snn_controller"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that sees every dependency but not our own (editable) pip distribution."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    # A folder listed in a .pth file is searched, but .pth files inside it are not run: that leaves
    # out the hook of our editable install. The ROS wheels' library path is in the environment.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    hidden = subprocess.run([python, "-c", "import snn_controller"], capture_output=True, cwd="/")
    if hidden.returncode == 0:
        pytest.skip(
            "snn_controller is installed as a copy, so it cannot be hidden from the overlay"
        )
    return python


def test_the_overlay_holds_what_the_package_needs(overlay: Path) -> None:
    share = overlay / "share" / "snn_controller"
    for kind in ("launch", "config", "policies"):
        expected = {f.name for f in (SOURCE / kind).iterdir() if f.is_file()}
        assert expected
        assert {f.name for f in (share / kind).iterdir()} >= expected
    for file in share.rglob("*"):
        assert file.exists(), f"{file} dangles"
    programs = {f.name for f in (overlay / "lib" / "snn_controller").iterdir()}
    assert {"controller", "simulator", "recorder", "viewer", "snn-fly", "snn-replay"} <= programs


def test_the_graph_flies_from_the_overlay_alone(
    overlay: Path, bare_python: Path, ros_environment: dict[str, str], tmp_path: Path
) -> None:
    environment = {
        **ros_environment,
        "AMENT_PREFIX_PATH": sys.prefix,
        "PATH": f"{bare_python.parent}:{os.environ['PATH']}",
    }
    script = f"source {overlay / 'share' / 'snn_controller' / 'package.bash'}"
    program = overlay / "lib" / "snn_controller" / "snn-fly"
    fly = f"python {program} duration:=2 report:={tmp_path / 'out'}"
    where = "python -c 'import snn_controller, sim; print(snn_controller.__file__, sim.__file__)'"
    done = subprocess.run(
        ["bash", "-c", f"{script} && {where} && {fly}"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    prefix = overlay.parents[1]
    assert all(str(prefix) in path for path in done.stdout.splitlines()[0].split())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["survived"] is True


@pytest.mark.skipif(
    shutil.which("ros2") is None, reason="needs an installed ROS 2 with ros2 launch"
)
@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["duration:=2", "seed:=3"], 0, "SURVIVED: hover"),
        (["duration:=2", "dration:=3"], 1, "did you mean 'duration'?"),
        (["policy:=/nowhere/p.onnx"], 1, "/nowhere/p.onnx does not exist"),
    ],
)
def test_ros2_launch_flies_the_same_graph(
    overlay: Path, ros_environment: dict[str, str], tmp_path: Path, words, code, expected
) -> None:
    script = f"source {overlay / 'share' / 'snn_controller' / 'package.bash'}"
    launch = f"ros2 launch snn_controller fly.launch.py report:={tmp_path / 'out'} "
    done = subprocess.run(
        ["bash", "-c", f"{script} && {launch + ' '.join(words)}"],
        env={"AMENT_PREFIX_PATH": sys.prefix, **ros_environment},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout
    assert expected in done.stdout
    assert "Traceback" not in done.stdout
