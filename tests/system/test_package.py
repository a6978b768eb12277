"""The package as colcon and pip build it: everything that ships, and flying without a clone.

Neither puts a module called `sim` or `training` on everybody's path, and both leave the test
equipment in the repository: the doubles of firmware and the fault campaign.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.places import ROOT

pytest.importorskip("rclpy")
if shutil.which("colcon", path=Path(sys.executable).parent) is None:
    pytest.skip("colcon is not installed", allow_module_level=True)

SHIPPED = {"snn_controller", "snn_sim", "snn_training"}  # packages of the wheel
EQUIPMENT = {"doubles", "faults"}  # rooms of snn_sim that stay in the repository
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
    hidden = subprocess.run(
        [python, "-c", "import snn_controller"], capture_output=True, cwd="/", env=bare(os.environ)
    )
    if hidden.returncode == 0:
        pytest.skip(
            "snn_controller is installed as a copy, so it cannot be hidden from the overlay"
        )
    return python


def bare(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that leads Python to no clone."""
    return {name: value for name, value in environment.items() if name != "PYTHONPATH"}


def rooms_of_the_simulator() -> set[str]:
    return {x.parent.name for x in (ROOT / "sim" / "snn_sim").glob("*/__init__.py")} - EQUIPMENT


def test_the_wheel_holds_what_ships_and_no_test_equipment(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("ros2_ws/src", "sim", "training", "launch"):
        leave = shutil.ignore_patterns("*.egg-info", "__pycache__", "build")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=leave)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", tmp_path, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        files = [Path(name).parts for name in wheel.namelist()]
    tops = {parts[0] for parts in files if not parts[0].endswith(".dist-info")}
    assert tops == SHIPPED
    rooms = {parts[1] for parts in files if parts[0] == "snn_sim" and len(parts) > 2}
    assert rooms == rooms_of_the_simulator()


def test_the_ros_package_links_to_what_ships_of_the_simulator() -> None:
    links = {x.name for x in (SOURCE / "snn_sim").iterdir() if x.name != "__pycache__"}
    assert links == rooms_of_the_simulator() | {"__init__.py"}


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


def from_overlay(
    overlay: Path, python: Path, environment: dict[str, str], folder: Path, command: str
) -> subprocess.CompletedProcess[str]:
    """Run a command line in a shell that has sourced the overlay."""
    script = f"source {overlay / 'share' / 'snn_controller' / 'package.bash'}"
    return subprocess.run(
        ["bash", "-c", f"{script} && {command}"],
        env={
            **bare(environment),
            "AMENT_PREFIX_PATH": sys.prefix,
            "PATH": f"{python.parent}:{os.environ['PATH']}",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


LOOK_FOR_MODULES = """
import importlib.util, sys
for name in sys.argv[1:]:
    print(name, importlib.util.find_spec(name) is not None)
"""


def test_the_overlay_holds_no_test_equipment(
    overlay: Path, bare_python: Path, tmp_path: Path
) -> None:
    absent = ["sim", "training", "snn_training", *(f"snn_sim.{x}" for x in sorted(EQUIPMENT))]
    present = ["snn_controller", *(f"snn_sim.{x}" for x in sorted(rooms_of_the_simulator()))]
    (tmp_path / "look.py").write_text(LOOK_FOR_MODULES)
    command = f"python look.py {' '.join([*absent, *present])}"
    done = from_overlay(overlay, bare_python, dict(os.environ), tmp_path, command)
    assert done.returncode == 0, done.stderr
    found = dict(line.split() for line in done.stdout.splitlines())
    assert {name for name, there in found.items() if there == "True"} == set(present)


def test_the_graph_flies_from_the_overlay_alone(
    overlay: Path, bare_python: Path, ros_environment: dict[str, str], tmp_path: Path
) -> None:
    program = overlay / "lib" / "snn_controller" / "snn-fly"
    fly = f"python {program} duration:=2 report:={tmp_path / 'out'}"
    modules = "import snn_controller, snn_sim"
    where = f"python -c '{modules}; print(snn_controller.__file__, snn_sim.__file__)'"
    command = f"{where} && {fly}"
    done = from_overlay(overlay, bare_python, ros_environment, tmp_path, command)
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
