"""Console script `snn-fly`: the flight graph on bare Python, where `ros2 launch` is not installed.

Takes the same `name:=value` arguments as the launch file and starts the same graph. Exit code 0
when the flight survived, 1 when it did not, 2 for a wrong argument or a missing part.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import IO

import yaml

from snn_controller.bringup.arguments import ARGUMENTS, parse_arguments
from snn_controller.bringup.graph import CONTROLLER, RECORDER, NodeSpec, fly_graph, loopback
from snn_controller.errors import UserError
from snn_controller.flight import NO_FOXGLOVE, check_address
from snn_controller.paths import check_writable, log_folder
from snn_controller.report import fit

PROGRESS_MARK = "progress: "  # a node's log line with this mark is shown live, in place
POLL_PERIOD = 0.05  # s
# What a process that does not end is sent, and how long it may take: nobody outlives the group.
STOPPING = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 3.0))
EXIT_USER_ERROR = 2
TERMINAL_PERIOD = 0.25  # s of wall time between dashboards on a terminal, which are in place
FILE_PERIOD = 2.0  # s elsewhere, where each is a line
MAX_DOMAIN = 232  # beyond it, DDS runs out of ports
TRANSITION_MODULE = "snn_controller.nodes.transition_node"


@dataclass(frozen=True)
class _Child:
    name: str
    process: subprocess.Popen[str]
    required: bool
    readers: tuple[threading.Thread, ...]


class ProcessGroup:
    """Starts processes and waits until a required one ends; then ends the others.

    SIGINT and SIGTERM end the group in good order. Against SIGKILL the children watch their parent.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start processes with this environment from now on."""
        self._environment = dict(environment)
        self._children: list[_Child] = []
        self._signal: int | None = None
        self._output = _Output()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def start(self, name: str, command: Sequence[str], *, required: bool = False) -> None:
        """Start a process; the group ends with it if it is required."""
        process = subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # A Ctrl-C in the terminal reaches only us: we end the nodes in good order.
            start_new_session=True,
        )
        readers = (
            threading.Thread(target=self._output.copy, args=(process.stdout, sys.stdout, "")),
            threading.Thread(
                target=self._output.copy, args=(process.stderr, sys.stderr, f"[{name}] ")
            ),
        )
        for reader in readers:
            reader.start()
        self._children.append(_Child(name, process, required, readers))

    def wait(self) -> int:
        """Wait for the end; return the exit code of the required process that ended first.

        A signal counts as 128 plus its number; a required process that ends well but is not the
        last one started (whose end is the end of the job) counts as a failure.
        """
        try:
            ended = self._first_ended()
        finally:
            self._stop_all()
        if ended is None:
            return 128 + (self._signal or 0)
        code = ended.process.returncode
        last = [child for child in self._children if child.required][-1]
        return 1 if code < 0 or (code == 0 and ended is not last) else code

    def _first_ended(self) -> _Child | None:
        while self._signal is None:
            for child in self._children:
                if child.required and child.process.poll() is not None:
                    return child
            sleep(POLL_PERIOD)
        return None

    def _stop_all(self) -> None:
        for number, patience in STOPPING:
            running = [child for child in self._children if child.process.poll() is None]
            for child in running:
                child.process.send_signal(number)
            deadline = monotonic() + patience
            while monotonic() < deadline and any(c.process.poll() is None for c in running):
                sleep(POLL_PERIOD)
        for child in self._children:
            for reader in child.readers:
                reader.join(timeout=1.0)
        self._output.end_line()

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._signal = self._signal or number


class _Output:
    """Writes the lines of all processes, the progress line in place on a terminal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line_open = False

    def copy(self, source: IO[str], target: IO[str], prefix: str) -> None:
        """Copy a process's output line by line until it ends."""
        for line in source:
            self._write(line.rstrip("\n"), target, prefix)

    def end_line(self) -> None:
        """Leave the progress line standing and go on below it."""
        if self._line_open:
            print(flush=True)
            self._line_open = False

    def _write(self, line: str, target: IO[str], prefix: str) -> None:
        _, mark, progress = line.partition(PROGRESS_MARK)
        with self._lock:
            if mark and sys.stdout.isatty():
                shown = fit(progress, shutil.get_terminal_size().columns)
                print(f"\r\033[K{shown}", end="", flush=True)
                self._line_open = True
                return
            self.end_line()
            print(f"{mark}{progress}" if mark else f"{prefix}{line}", file=target, flush=True)


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
    elsewhere = log_folder(environment)
    environment.update(elsewhere)
    for folder in elsewhere.values():
        print(f"ROS's usual log folder cannot be written; its logs are in {folder}", flush=True)
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
