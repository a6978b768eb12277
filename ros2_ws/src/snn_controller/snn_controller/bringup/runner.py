"""Console script `snn-fly`: the flight graph on bare Python, where `ros2 launch` is not installed.

Takes the same `name:=value` arguments as the launch file and starts the same graph. Exit code 0
when the flight survived, 1 when it did not, 2 for a wrong argument or a missing part.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import yaml

from snn_controller.bringup.arguments import ARGUMENTS, parse_arguments
from snn_controller.bringup.graph import CONTROLLER, RECORDER, NodeSpec, fly_graph, loopback
from snn_controller.bringup.processes import ProcessGroup
from snn_controller.errors import UserError
from snn_controller.flight import NO_FOXGLOVE, check_address
from snn_controller.paths import check_writable

EXIT_USER_ERROR = 2
TERMINAL_PERIOD = 0.25  # s of wall time between dashboards on a terminal, which are in place
FILE_PERIOD = 2.0  # s elsewhere, where each is a line
MAX_DOMAIN = 232  # beyond it, DDS runs out of ports
TRANSITION_MODULE = "snn_controller.nodes.transition_node"


def main() -> None:
    """Run `snn-fly`."""
    words = sys.argv[1:]
    try:
        if {"-h", "--help", "--show-args", "-s"} & set(words):
            print(usage())
            sys.exit(0)
        sys.exit(fly(words))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


def usage() -> str:
    """Return the help text: every argument with its choices, default and meaning."""
    lines = ["usage: snn-fly [name:=value ...]", "", "Arguments:"]
    for argument in ARGUMENTS:
        choices = f" one of: {', '.join(argument.choices)}" if argument.choices else ""
        lines += [f"  {argument.name}:={argument.default or chr(39) * 2}{choices}"]
        lines += [f"      {argument.description}"]
    return "\n".join(lines)


def fly(words: list[str]) -> int:
    """Fly the graph that `name:=value` words describe and return the exit code.

    Raises:
        UserError: An argument is wrong or a part is missing.
    """
    graph = fly_graph(parse_arguments(words), launcher_pid=os.getpid())
    graph = tuple(_paced(node) for node in graph)
    _check_parts(graph)
    environment = _environment()
    with tempfile.TemporaryDirectory(prefix="snn-fly-") as folder:
        group = ProcessGroup(environment)
        for node in graph:
            group.start(node.name, _command(node, Path(folder)), required=node.required)
        for node in graph:
            if node.managed:
                command = [*_python(TRANSITION_MODULE), f"/{node.name}", "configure", "activate"]
                group.start("lifecycle", command)
        return group.wait()


def _paced(node: NodeSpec) -> NodeSpec:
    """Let the controller tell of its progress as often as somebody can read it."""
    if node.name != CONTROLLER:
        return node
    period = TERMINAL_PERIOD if sys.stdout.isatty() else FILE_PERIOD
    return replace(node, parameters={**node.parameters, "progress_period": period})


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _command(node: NodeSpec, folder: Path) -> list[str]:
    """Return the command line of a node; its parameters go by file, which needs no quoting."""
    program = _python(node.module) if node.module else [node.executable, *node.arguments]
    files = [node.parameter_file] if node.parameter_file else []
    if node.parameters:
        file = folder / f"{node.name}.yaml"
        file.write_text(yaml.safe_dump({node.name: {"ros__parameters": node.parameters}}))
        files.append(file)
    words = [word for file in files for word in ("--params-file", str(file))]
    return [*program, "--ros-args", "-r", f"__node:={node.name}", *words]


def _environment() -> dict[str, str]:
    """Return the environment of the nodes: loopback only, unless the user has chosen a range."""
    environment = dict(os.environ)
    environment.update(loopback(environment))
    domain = environment.get("ROS_DOMAIN_ID", "0")
    if not domain.isdigit() or int(domain) > MAX_DOMAIN:
        raise UserError(f"ROS_DOMAIN_ID is '{domain}' but must be a number from 0 to {MAX_DOMAIN}")
    environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)  # where wheels keep package shares
    environment.setdefault("PYTHONSAFEPATH", "1")  # a folder `sim/` in the cwd must not win
    environment.setdefault("PYTHONUNBUFFERED", "1")
    return environment


def _check_parts(graph: tuple[NodeSpec, ...]) -> None:
    """Refuse to start where a part of the graph is not installed."""
    needs = {
        "rclpy": "ROS 2's Python client",
        "nav_msgs": "a set of ROS messages",
        "lifecycle_msgs": "a set of ROS messages",
        "onnxruntime": "the policy runtime",
        "matplotlib": "the drawing of the flight",
    }
    if any(node.name == "simulator" for node in graph):
        needs["pybullet"] = "the simulator's physics, without a wheel for Python 3.12"
    if any(node.name == RECORDER or node.parameters.get("foxglove") for node in graph):
        needs["rosbags"] = "the definitions of messages"
    for module, what in needs.items():
        if importlib.util.find_spec(module) is None:
            raise UserError(f"{what} ({module}) is not installed; run: pip install -e '.[flight]'")
    for node in graph:
        if node.parameters.get("foxglove"):
            _check_server(node)
        if node.name == RECORDER:  # whose end the others would wait for
            check_writable(Path(node.parameters["folder"]).parent)
        if not node.module and shutil.which(node.executable) is None:
            raise UserError(
                f"{node.executable} is not installed; it comes with a ROS 2 installation, so"
                " leave it off or source one"
            )


def _check_server(viewer: NodeSpec) -> None:
    """Refuse to start where nobody could watch."""
    if importlib.util.find_spec("foxglove") is None:
        raise UserError(NO_FOXGLOVE)
    check_address(viewer.parameters["foxglove_host"], viewer.parameters["foxglove_port"])


if __name__ == "__main__":
    main()


if __name__ == "__main__":
    main()
