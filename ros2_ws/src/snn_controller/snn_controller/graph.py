"""The flight graph, described once: arguments, nodes, parameters, order. No ROS imports.

The launch file and the `snn-fly` runner both start what `fly_graph` returns.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snn_controller.errors import UserError
from snn_controller.settings import AUTO_STARTS, LINKS
from snn_controller.share import policy_path, report_folder, share_directory
from snn_controller.tasks import TASKS, find_task

CONTROLLER = "snn_controller"
RECORDER = "recorder"
FIRMWARE_LINK, FIRMWARE_ENDPOINT = "betaflight", "sitl"
FIRMWARE_READY = "firmware_ready"  # a node that is up once the firmware is
# Throttle of the default airframe at the real firmware: what hovering takes, and how it is curved.
FIRMWARE_THROTTLE = {"hover_thrust": 0.64, "thrust_curve": 0.55}
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Argument:
    """One launch argument, given as `name:=value`."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()

    @property
    def is_boolean(self) -> bool:
        """Whether the value says yes or no."""
        return self.choices == _BOOLEAN


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


_BOOLEAN = ("true", "false")
ARGUMENTS = (
    Argument("policy", "", "policy.onnx to fly; empty for the shipped hover policy"),
    Argument("policy_sha256", "", "refuse any policy file but the one with this hash, if set"),
    Argument("link", "sim", "flight controller to command", LINKS),
    Argument(
        "endpoint",
        "",
        "where the flight controller is, as udpin:HOST:PORT, tcp:HOST:PORT or"
        " /dev/ttyACM0:921600; empty for its default; sitl: simulated with its real firmware",
    ),
    Argument(
        "auto_start",
        "simulated",
        "where to arm and fly at once instead of waiting for the services arm and takeoff",
        AUTO_STARTS,
    ),
    Argument("task", "hover", "what to fly", tuple(TASKS)),
    Argument("duration", "20.0", "time in s that the policy flies"),
    Argument("seed", "1", "seed of the simulated start; the same seed flies the same flight"),
    Argument(
        "lockstep",
        "true",
        "true: time advances one step per command, as fast as it goes; false: real time, as always"
        " with a flight controller",
        _BOOLEAN,
    ),
    Argument("gui", "false", "show PyBullet's window", _BOOLEAN),
    Argument(
        "record", "false", "record the flight into an MCAP bag in the report folder", _BOOLEAN
    ),
    Argument("report", "", "folder of the flight report; empty for flights/<time>-<task>"),
    Argument("rviz", "false", "show the flight in RViz (needs a ROS 2 installation)", _BOOLEAN),
    Argument("params_file", "", "YAML file of node parameters; empty for config/fly.yaml"),
)


def parse_arguments(words: Iterable[str]) -> dict[str, str]:
    """Turn `name:=value` words into a dictionary.

    Raises:
        UserError: A word is not of that form or names no argument.
    """
    values = {}
    for word in words:
        name, separator, value = word.partition(":=")
        if not separator:
            raise UserError(f"'{word}' is not of the form name:=value; see snn-fly --show-args")
        values[name] = value
    refuse_unknown(values)
    return values


def refuse_unknown(names: Iterable[str]) -> None:
    """Refuse names that are no arguments, suggesting the nearest.

    Raises:
        UserError: There is one.
    """
    known = [argument.name for argument in ARGUMENTS]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
            raise UserError(f"unknown argument '{name}'; {hint}")


def loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that keeps DDS on this machine; none where a range has been chosen."""
    if {"ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"} & set(environment):
        return {}
    if environment.get("ROS_DISTRO") == "humble":  # knows no discovery range yet
        return {"ROS_LOCALHOST_ONLY": "1"}
    return {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def fly_graph(given: Mapping[str, str], *, launcher_pid: int) -> tuple[NodeSpec, ...]:
    """Return the processes to start, in order.

    Args:
        given: Values of launch arguments by name; missing ones take their defaults.
        launcher_pid: Parent process that the nodes must not outlive.

    Raises:
        UserError: A value is not fit for its argument.
    """
    values = {argument.name: argument.default for argument in ARGUMENTS} | dict(given)
    _check_choices(values)
    task = find_task(values["task"])
    simulated, record = values["link"] == LINKS[0], _boolean(values, "record")
    seed = _number(values, "seed", int)
    lockstep = simulated and _boolean(values, "lockstep")
    shared = {"launcher_pid": launcher_pid, "lockstep": lockstep, "seed": seed}
    shared["listeners"] = 1 + record if lockstep else 0  # controller or simulator, and recorder
    report = report_folder(values["report"], task.name, seed)
    controller = _controller(values, report, {**shared, "use_sim_time": simulated})
    vehicle = [_simulator(values, shared)] if simulated else []
    vehicle += [_firmware(values, launcher_pid)] if _has_firmware(values) else []
    extras = [_recorder(report, launcher_pid, simulated, lockstep)] if record else []
    extras += [_rviz()] if _boolean(values, "rviz") else []
    return (*vehicle, *extras, controller)


def _has_firmware(values: Mapping[str, str]) -> bool:
    """Whether a flight controller's real firmware is to be simulated."""
    if values["endpoint"] != FIRMWARE_ENDPOINT:
        return False
    if values["link"] != FIRMWARE_LINK:
        raise UserError(f"endpoint:={FIRMWARE_ENDPOINT} needs link:={FIRMWARE_LINK}")
    return True


def _firmware(values: Mapping[str, str], launcher_pid: int) -> NodeSpec:
    return NodeSpec(
        name="firmware",
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
        name="simulator",
        package="snn_controller",
        executable="simulator",
        module="snn_controller.nodes.simulator_node",
        parameters={
            **shared,
            "gui": _boolean(values, "gui"),
            "start": "ground" if from_ground else "hover",
        },
        parameter_file=_parameter_file(values["params_file"]),
        required=True,
    )


def _controller(values: Mapping[str, str], report: Path, shared: Mapping[str, Any]) -> NodeSpec:
    firmware = _has_firmware(values)
    awaited = [FIRMWARE_READY] if firmware else []
    awaited += [RECORDER] if _boolean(values, "record") else []
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
            "link": values["link"],
            "endpoint": "" if firmware else values["endpoint"],
            **(FIRMWARE_THROTTLE if firmware else {}),
            "auto_start": values["auto_start"],
            "task": values["task"],
            "duration": _duration(values),
            "report": str(report),
            "await_nodes": ",".join(awaited),
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


def _check_choices(values: Mapping[str, str]) -> None:
    for argument in ARGUMENTS:
        value = values[argument.name]
        if argument.is_boolean:
            _boolean(values, argument.name)
        elif argument.choices and value not in argument.choices:
            raise UserError(
                f"unknown {argument.name} '{value}'; choose one of: {', '.join(argument.choices)}"
            )


def _boolean(values: Mapping[str, str], name: str) -> bool:
    value = BOOLEANS.get(values[name].lower())
    if value is None:
        raise UserError(f"argument {name}:={values[name]} must be true or false")
    return value


def _number(values: Mapping[str, str], name: str, kind: type) -> Any:
    try:
        return kind(values[name])
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise UserError(f"argument {name}:={values[name]} must be {what}") from error


def _duration(values: Mapping[str, str]) -> float:
    duration = _number(values, "duration", float)
    if not 0.1 <= duration <= 1e6:
        raise UserError(f"argument duration:={values['duration']} must be 0.1 to 1000000 s")
    return duration
