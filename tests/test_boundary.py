"""Imports point one way: core <- sim <- training, and rclpy stays inside nodes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "ros2_ws" / "src" / "snn_controller" / "snn_controller"
ROS = {"rclpy", "launch", "launch_ros", "nav_msgs", "geometry_msgs", "sensor_msgs", "std_msgs"}
# What each floor may not import: the floors above it, and what only they need.
FORBIDDEN = {
    "core": {"sim", "training", "torch", "pybullet", "gymnasium", "numba"} | ROS,
    "nodes": {"training", "torch", "pybullet", "gymnasium"},
    "sim": {"training", "torch"} | ROS,
    "training": ROS,
}


def floor_of(file: Path) -> str:
    if file.is_relative_to(CORE):
        return "nodes" if "nodes" in file.relative_to(CORE).parts else "core"
    return file.relative_to(ROOT).parts[0]


def modules() -> list[Path]:
    return sorted(
        file for folder in (CORE, ROOT / "sim", ROOT / "training") for file in folder.rglob("*.py")
    )


def imports(file: Path) -> set[str]:
    """Every module that a file imports anywhere, by its full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_imports_only_from_its_floor_and_below(file: Path) -> None:
    tops = {name.partition(".")[0] for name in imports(file)}
    assert not tops & FORBIDDEN[floor_of(file)]
    if floor_of(file) != "nodes":
        assert not any(name.startswith("snn_controller.nodes") for name in imports(file))


def test_only_simulating_nodes_import_sim() -> None:
    importers = {
        file.name
        for file in (CORE / "nodes").glob("*.py")
        if any(name.partition(".")[0] == "sim" for name in imports(file))
    }
    assert importers == {"simulator_node.py", "firmware_node.py"}


def test_onnxruntime_and_matplotlib_stay_in_their_modules() -> None:
    users = {
        (file.name, top)
        for file in modules()
        if floor_of(file) == "core"
        for top in {name.partition(".")[0] for name in imports(file)}
        if top in {"onnxruntime", "matplotlib"}
    }
    assert all(
        name == "policy_session.py" if top == "onnxruntime" else name.startswith("plot")
        for name, top in users
    )


def test_there_is_no_circle_of_imports() -> None:
    names = {module_name(file): file for file in modules()}
    graph = {
        name: {other for other in imports(file) if other in names and other != name}
        for name, file in names.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in graph[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def module_name(file: Path) -> str:
    base = CORE.parent if file.is_relative_to(CORE) else ROOT
    parts = file.relative_to(base).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize(
    ("module", "blocked"),
    [
        ("snn_controller.flight", ["rclpy", "torch", "pybullet", "gymnasium", "matplotlib"]),
        ("snn_controller.runner", ["rclpy", "torch", "pybullet", "onnxruntime", "matplotlib"]),
        ("sim.drone", ["rclpy", "torch", "onnxruntime"]),
        ("training.evaluate", ["rclpy"]),
    ],
)
def test_a_floor_works_where_the_floors_above_are_not_installed(
    module: str, blocked: list[str]
) -> None:
    code = f"import sys\nfor name in {blocked}: sys.modules[name] = None\nimport {module}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


# Modules of rclpy that came after Humble, where the same names are found elsewhere.
NEWER_THAN_HUMBLE = {"clock_type", "event_handler", "parameter_event_handler", "type_support"}


@pytest.mark.parametrize("file", sorted((CORE / "nodes").glob("*.py")), ids=lambda file: file.name)
def test_nodes_import_what_humble_has(file: Path) -> None:
    assert not imports(file) & {f"rclpy.{name}" for name in NEWER_THAN_HUMBLE}
