"""The rooms: who may import what, in which direction, and through which door.

A room is a folder of one of the three packages. From another room only what a room's `__init__`
offers is imported, floors point down, there is no circle of rooms, and rclpy stays in `nodes`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support.places import ROOT

CORE = ROOT / "ros2_ws" / "src" / "snn_controller" / "snn_controller"
PACKAGES = {
    "snn_controller": CORE,
    "snn_sim": ROOT / "sim" / "snn_sim",
    "snn_training": ROOT / "training" / "snn_training",
}
ROS = {"rclpy", "launch", "launch_ros", "nav_msgs", "geometry_msgs", "sensor_msgs", "std_msgs"}
# What each floor may not import: the floors above it, and what only they need.
FORBIDDEN = {
    "core": {"snn_sim", "snn_training", "torch", "pybullet", "gymnasium", "numba"} | ROS,
    "nodes": {"snn_training", "torch", "pybullet", "gymnasium"},
    "snn_sim": {"snn_training", "torch"} | ROS,
    "snn_training": ROS,
}
# The rooms of a floor, lowest first: each imports only from rooms before it.
ORDER = {
    "snn_controller": (
        "errors parameter paths system vehicle control policy safety flight_controllers flight_log"
        " flight report replay judge bringup nodes"
    ),
    "snn_sim": "task bullet batched envs betaflight doubles faults",
    "snn_training": (
        "common neurons networks runs artifacts data rollouts evaluation algorithms studies"
    ),
}
LARGEST_FOLDER = 20  # Python files


@cache
def modules() -> dict[str, Path]:
    """Every module of the product by its name."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            found[".".join(part for part in (package, *parts) if part != "__init__")] = file
    return found


def is_package(name: str) -> bool:
    return modules()[name].name == "__init__.py"


def floor_of(name: str) -> str:
    package, _, rest = name.partition(".")
    if package != "snn_controller":
        return package
    return "nodes" if rest.partition(".")[0] == "nodes" else "core"


def room_of(name: str) -> str:
    return ".".join(name.split(".")[:2])


@cache
def imports(name: str) -> tuple[tuple[str, str], ...]:
    """Every (module, name) that a module imports anywhere; the name is "" for `import module`."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(modules()[name].read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module and node.level == 0, f"{name}: imports are absolute"
            found += [(node.module, alias.name) for alias in node.names]
    return tuple(found)


def own_imports(name: str) -> Iterator[tuple[str, str]]:
    """The imports of a module that are the project's, each as (module, name)."""
    for module, each in imports(name):
        if module.partition(".")[0] in PACKAGES:
            yield module, each


def imported_module(module: str, name: str) -> str:
    """The module that `from module import name` depends on."""
    return f"{module}.{name}" if f"{module}.{name}" in modules() else module


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_from_its_floor_and_below(name: str) -> None:
    tops = {module.partition(".")[0] for module, _ in imports(name)}
    assert not tops & FORBIDDEN[floor_of(name)]


@pytest.mark.parametrize("name", modules())
def test_nobody_imports_past_the_init_of_another_room(name: str) -> None:
    for module, each in own_imports(name):
        leaf = module.count(".") == 1 and not is_package(module)
        if room_of(module) == room_of(name) or module == "snn_controller" or leaf:
            continue
        assert is_package(module), f"{name} imports {each} from {module}, not from its room"
        tree = ast.parse(modules()[module].read_text())
        offered = {
            element.value
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            for element in ast.walk(node.value)
            if isinstance(element, ast.Constant)
        }
        assert each in offered, f"{name} imports {each}, which {module} does not offer"


@pytest.mark.parametrize("name", modules())
def test_rooms_import_only_from_rooms_below(name: str) -> None:
    package, _, rest = name.partition(".")
    if not rest:
        return
    order = ORDER[package].split()
    assert rest.partition(".")[0] in order, "a new room: give it its place in ORDER"
    for module, each in own_imports(name):
        target = imported_module(module, each)
        if target.partition(".")[0] == package and "." in target:
            above, here = target.split(".")[1], rest.partition(".")[0]
            assert order.index(above) <= order.index(here), f"{name} imports {target}"


def test_there_is_no_circle_of_modules() -> None:
    graph = {
        name: {
            target
            for module, each in own_imports(name)
            if (target := imported_module(module, each)) != name
        }
        for name in modules()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_only_simulating_nodes_import_the_simulator() -> None:
    importers = {
        name.rpartition(".")[2]
        for name in modules()
        if floor_of(name) == "nodes"
        and any(module.partition(".")[0] == "snn_sim" for module, _ in imports(name))
    }
    assert importers == {"simulator_node", "firmware_node"}


@pytest.mark.parametrize(
    ("library", "allowed"),
    [("onnxruntime", "snn_controller.policy.runtime"), ("matplotlib", "plot")],
)
def test_libraries_of_the_core_stay_in_their_modules(library: str, allowed: str) -> None:
    users = [
        name
        for name in modules()
        if floor_of(name) == "core"
        and any(module.partition(".")[0] == library for module, _ in imports(name))
    ]
    assert users and all(allowed in name for name in users)


def test_no_folder_holds_more_files_than_a_stranger_can_take_in() -> None:
    folders = {file.parent for file in modules().values()} | {ROOT / "training"}
    assert all(len(list(folder.glob("*.py"))) <= LARGEST_FOLDER for folder in folders)


def test_test_equipment_is_imported_by_nothing_that_ships() -> None:
    for name in modules():
        if name.startswith(("snn_sim.doubles", "snn_sim.faults")):
            continue
        for module, _ in own_imports(name):
            assert not module.startswith(("snn_sim.doubles", "snn_sim.faults")), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "blocked"),
    [
        ("snn_controller.flight", ["rclpy", "torch", "pybullet", "gymnasium", "matplotlib"]),
        (
            "snn_controller.bringup.runner",
            ["rclpy", "torch", "pybullet", "onnxruntime", "matplotlib"],
        ),
        ("snn_sim.bullet", ["rclpy", "torch", "onnxruntime"]),
        ("snn_training.evaluation", ["rclpy"]),
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


@pytest.mark.parametrize("name", [name for name in modules() if floor_of(name) == "nodes"])
def test_nodes_import_what_humble_has(name: str) -> None:
    found = {module for module, _ in imports(name)}
    found |= {f"{module}.{each}" for module, each in imports(name)}
    assert not found & {f"rclpy.{newer}" for newer in NEWER_THAN_HUMBLE}
