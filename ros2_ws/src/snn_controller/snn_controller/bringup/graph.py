"""The flight graph, described once: arguments, nodes, parameters, order. No ROS imports.

The launch file and the `snn-fly` runner both start what `fly_graph` returns.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snn_controller.bringup.arguments import ARGUMENTS, boolean, check_choices, duration, number
from snn_controller.bringup.parameter_file import check_sections
from snn_controller.control import find_task
from snn_controller.errors import UserError
from snn_controller.flight import LINKS
from snn_controller.paths import policy_path, report_folder, share_directory

CONTROLLER = "snn_controller"
RECORDER = "recorder"
VIEWER = "viewer"
SIMULATOR = "simulator"
FIRMWARE = "firmware"
SET_BY_FILE = (CONTROLLER, SIMULATOR, FIRMWARE)  # nodes that get the parameter file
FIRMWARE_LINK, FIRMWARE_ENDPOINT, FIRMWARE_PORT = "betaflight", "sitl", 5761
FIRMWARE_READY = "firmware_ready"  # a node that is up once the firmware is
# Throttle of the default airframe at the real firmware: what hovering takes, and how it is curved.
FIRMWARE_THROTTLE = {"hover_thrust": 0.64, "thrust_curve": 0.55}


@dataclass(frozen=True)
class NodeSpec:
    """One process of the graph."""

    name: str
    package: str
    executable: str  # as installed by colcon
    module: str = ""  # as run by `python -m`; empty for programs that are not ours
    parameters: dict[str, Any] = field(default_factory=dict)
    parameter_file: Path | None = None
    arguments: tuple[str, ...] = ()
    managed: bool = False  # a lifecycle node: to be configured and activated
    required: bool = False  # the graph ends with it


def loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that keeps DDS on this machine; none where a range has been chosen."""
    if {"ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"} & set(environment):
        return {}
    if environment.get("ROS_DISTRO") == "humble":  # knows no discovery range yet
        return {"ROS_LOCALHOST_ONLY": "1"}
    return {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def fly_graph(
    given: Mapping[str, str], *, launcher_pid: int, namespaced: bool = False
) -> tuple[NodeSpec, ...]:
    """Return the processes to start, in order.

    Args:
        given: Values of launch arguments by name; missing ones take their defaults.
        launcher_pid: Parent process that the nodes must not outlive.
        namespaced: The nodes may be started in a namespace, as by a launch file.

    Raises:
        UserError: A value is not fit for its argument.
    """
    values = {argument.name: argument.default for argument in ARGUMENTS} | dict(given)
    check_choices(values)
    check_sections(_parameter_file(values["params_file"]), SET_BY_FILE, namespaced=namespaced)
    task = find_task(values["task"])
    simulated, record = values["link"] == LINKS[0], boolean(values, "record")
    firmware = _has_firmware(values)
    seed = number(values, "seed", int)
    lockstep = simulated and boolean(values, "lockstep")
    shared = {"launcher_pid": launcher_pid, "lockstep": lockstep, "seed": seed}
    # controller or simulator, recorder, viewer, and who else must miss nothing
    shared["listeners"] = 1 + _listening(values) if lockstep else 0
    vehicle = [_simulator(values, shared)] if simulated else []
    vehicle += [_firmware(values, launcher_pid)] if firmware else []
    if values["part"] == SIMULATOR:
        return _alone(vehicle)
    vehicle = [] if values["part"] == "controller" else vehicle
    report = report_folder(values["report"], task.name, seed)
    controller = _controller(values, report, {**shared, "use_sim_time": simulated})
    extras = [_recorder(report, launcher_pid, simulated, lockstep)] if record else []
    extras += [_viewer(values, launcher_pid, simulated)] if _is_viewed(values) else []
    extras += [_rviz()] if boolean(values, "rviz") else []
    return (*vehicle, *extras, controller)


def _is_viewed(values: Mapping[str, str]) -> bool:
    return boolean(values, "foxglove") or boolean(values, "rviz")


def _listening(values: Mapping[str, str]) -> int:
    """Return how many nodes listen to a flight beside the one that it is flown with."""
    return boolean(values, "record") + _is_viewed(values) + len(_observers(values))


def _observers(values: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in values["observers"].split(",") if name.strip()]


def _alone(vehicle: list[NodeSpec]) -> tuple[NodeSpec, ...]:
    """Return the graph of a simulator whose controller runs elsewhere."""
    if not vehicle:
        raise UserError(
            f"part:={SIMULATOR} needs link:={LINKS[0]}, or link:={FIRMWARE_LINK} with"
            f" endpoint:={FIRMWARE_ENDPOINT}; other links have none"
        )
    return tuple(vehicle)


def _has_firmware(values: Mapping[str, str]) -> bool:
    """Whether a flight controller's real firmware is to be simulated, here or on another host."""
    kind, _, host = values["endpoint"].partition(":")
    if kind != FIRMWARE_ENDPOINT:
        return False
    if values["link"] != FIRMWARE_LINK:
        raise UserError(f"endpoint:={FIRMWARE_ENDPOINT} needs link:={FIRMWARE_LINK}")
    if host and values["part"] != "controller":
        raise UserError(
            f"endpoint:={values['endpoint']} names another host's firmware and needs"
            f" part:=controller here and part:={SIMULATOR} there"
        )
    return True


def _link_endpoint(values: Mapping[str, str]) -> str:
    """Return where the link finds the flight controller; empty for its default."""
    if not _has_firmware(values):
        return values["endpoint"]
    host = values["endpoint"].partition(":")[2]
    return f"tcp:{host}:{FIRMWARE_PORT}" if host else ""


def _firmware(values: Mapping[str, str], launcher_pid: int) -> NodeSpec:
    return NodeSpec(
        name=FIRMWARE,
        package="snn_controller",
        executable="firmware",
        module="snn_controller.nodes.firmware_node",
        parameters={"launcher_pid": launcher_pid},
        parameter_file=_parameter_file(values["params_file"]),
        required=True,
    )


def _simulator(values: Mapping[str, str], shared: Mapping[str, Any]) -> NodeSpec:
    from_ground = find_task(values["task"]).from_ground
    return NodeSpec(
        name=SIMULATOR,
        package="snn_controller",
        executable="simulator",
        module="snn_controller.nodes.simulator_node",
        parameters={
            **shared,
            "gui": boolean(values, "gui"),
            "start": "ground" if from_ground else "hover",
        },
        parameter_file=_parameter_file(values["params_file"]),
        required=True,
    )


def _controller(values: Mapping[str, str], report: Path, shared: Mapping[str, Any]) -> NodeSpec:
    firmware = _has_firmware(values)
    awaited = [FIRMWARE_READY] if firmware else []
    awaited += [RECORDER] if boolean(values, "record") else []
    awaited += [VIEWER] if _is_viewed(values) else []
    awaited += _observers(values)
    return NodeSpec(
        name=CONTROLLER,
        package="snn_controller",
        executable="controller",
        module="snn_controller.nodes.controller_node",
        parameters={
            **shared,
            "policy": str(_policy(values["policy"])),
            # An empty one is left out: it would lift the pin that a parameter file sets.
            **{k: values[k] for k in ("policy_sha256",) if values[k]},
            **(
                {"target_return": target}
                if (target := number(values, "target_return", float))
                else {}
            ),
            "link": values["link"],
            "endpoint": _link_endpoint(values),
            **(FIRMWARE_THROTTLE if firmware else {}),
            "auto_start": values["auto_start"],
            "task": values["task"],
            "duration": duration(values),
            "report": str(report),
            "await_nodes": ",".join(awaited),
            "tick_listeners": _listening(values),
            "exit_when_done": True,
        },
        parameter_file=_parameter_file(values["params_file"]),
        managed=True,
        required=True,
    )


def _recorder(report: Path, launcher_pid: int, simulated: bool, lockstep: bool) -> NodeSpec:
    bag = report / "bag"
    if bag.exists():
        raise UserError(
            f"bag folder {bag} exists already; remove it or give another report:=FOLDER"
        )
    return NodeSpec(
        name=RECORDER,
        package="snn_controller",
        executable="recorder",
        module="snn_controller.nodes.recorder_node",
        parameters={
            "use_sim_time": simulated,  # log times are the flight's, also in lockstep
            "folder": str(bag),
            "reliable": lockstep,
            "launcher_pid": launcher_pid,
        },
    )


def _viewer(values: Mapping[str, str], launcher_pid: int, simulated: bool) -> NodeSpec:
    return NodeSpec(
        name=VIEWER,
        package="snn_controller",
        executable="viewer",
        module="snn_controller.nodes.viewer_node",
        parameters={
            "use_sim_time": simulated,
            "foxglove": boolean(values, "foxglove"),
            "foxglove_host": values["foxglove_host"],
            "foxglove_port": _port(values),
            "launcher_pid": launcher_pid,
        },
    )


def _port(values: Mapping[str, str]) -> int:
    port = number(values, "foxglove_port", int)
    if not 0 <= port <= 65535:
        raise UserError(f"argument foxglove_port:={port} must be 0 to 65535")
    return port


def _rviz() -> NodeSpec:
    config = share_directory() / "config" / "fly.rviz"
    return NodeSpec("rviz2", "rviz2", "rviz2", arguments=("-d", str(config)))


def _policy(value: str) -> Path:
    return _file(policy_path(value), "policy", "policy:=FILE, or none for hover")


def _parameter_file(value: str) -> Path:
    path = Path(os.path.expanduser(value)) if value else share_directory() / "config" / "fly.yaml"
    return _file(path, "parameter", "params_file:=FILE or none")


def _file(path: Path, what: str, mend: str) -> Path:
    if not os.path.isfile(path):  # unlike Path's own, it takes any name
        raise UserError(f"{what} file {path.absolute()} does not exist; give {mend}")
    return path.absolute()
