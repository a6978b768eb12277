"""Parameters of the nodes: each declared once, with type, default, range and description.

The nodes declare them to ROS, the graph sets them, the docs list them. ROS-free.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from snn_controller.control import TASKS
from snn_controller.errors import UserError, quote
from snn_controller.flight_controllers import LINKS as LINK_TABLE
from snn_controller.flight_controllers import LinkOptions, PaceOptions
from snn_controller.parameter import setting
from snn_controller.safety import Limits

LINKS = tuple(LINK_TABLE)
AUTO_STARTS = ("simulated", "always", "never")
WORLDS = ("pybullet", "gym_pybullet_drones")


@dataclass(frozen=True)
class GraphSettings(PaceOptions):
    """What the controller and the simulator must agree on."""

    airframe: str = setting("crazyflie21", "airframe in airframes.yaml")
    hover_height: float = setting(1.0, "height of the hover point in m", low=0.3, high=50.0)
    launcher_pid: int = setting(0, "end when this parent process is gone; 0 to live alone", low=0)


@dataclass(frozen=True)
class ControllerSettings(GraphSettings, Limits, LinkOptions):
    """Parameters of the controller node."""

    policy: str = setting("", "policy file, or name of a shipped one; empty for `hover`")
    policy_sha256: str = setting("", "refuse any policy file but the one with this hash, if set")
    target_return: float = setting(
        0.0, "return to ask of a policy that takes one, 500 for perfect hover; 0 for its own"
    )
    link: str = setting("sim", "flight controller to command", choices=LINKS)
    task: str = setting("hover", "what to fly", choices=tuple(TASKS))
    duration: float = setting(20.0, "flight time in s", low=0.1, high=1e6)
    seed: int = setting(1, "seed of the flight, for the report", low=0, high=2**31)
    report: str = setting("", "folder of the flight report; empty for flights/<time>-<task>")
    plot: bool = setting(True, "draw flight.png and flight.html beside report.json")
    await_nodes: str = setting("", "do not configure before these nodes are up, split by commas")
    exit_when_done: bool = setting(False, "end the process with the flight")
    startup_timeout: float = setting(15.0, "wait for the first odometry in s", low=0.1, high=3600.0)
    descent_time: float = setting(
        2.0, "level descent in s without odometry before the motors stop", low=0.0, high=60.0
    )
    auto_start: str = setting(
        "simulated",
        "where to arm and fly on the first odometry instead of waiting for the operator",
        choices=AUTO_STARTS,
    )
    neuron_rate: float = setting(
        10.0, "rate of the spike and membrane topics in Hz; 0 for none", low=0.0, high=1000.0
    )
    progress_period: float = setting(
        1.0,
        "wall time in s between lines about the flight's progress; 0 for none",
        low=0.0,
        high=3600.0,
    )
    tick_listeners: int = setting(
        0, "listeners to snn_controller/tick without which no flight begins", low=0, high=100
    )


@dataclass(frozen=True)
class SimulatorSettings(GraphSettings):
    """Parameters of the simulator node."""

    seed: int = setting(1, "seed of the start", low=0, high=2**31)
    start: str = setting(
        "hover",
        "distribution of the start around the hover point",
        choices=("hover", "easy", "standard", "hard", "ground"),
    )
    world: str = setting("pybullet", "simulated world", choices=WORLDS)
    gui: bool = setting(False, "show PyBullet's window")
    physics_rate: float = setting(500.0, "rate of the physics in Hz", low=50.0, high=20000.0)
    command_timeout: float = setting(
        0.2,
        "silence of the commands in s of simulated time that stops the motors",
        low=0.01,
        high=5.0,
    )


@dataclass(frozen=True)
class RecorderSettings:
    """Parameters of the recorder node."""

    folder: str = setting("", "folder of the bag, which must not exist yet")
    topics: list[str] = setting(
        [
            "odom",
            "goal",
            "motors",
            "thrust_rates",
            "snn_controller/spikes",
            "snn_controller/membranes",
            "snn_controller/tick",
            "snn_controller/flight_info",
            "/diagnostics",
            "/clock",
            "/tf",
        ],
        "topics to record, those of unknown type once somebody publishes them",
    )
    reliable: bool = setting(False, "ask reliable publishers to send lost messages again")
    reserve_mib: float = setting(
        32.0, "free space in MiB at which recording stops", low=1.0, high=1e6
    )
    launcher_pid: int = setting(0, "end when this parent process is gone; 0 to live alone", low=0)


FLIGHT, SAFE_END = "flight", "safe_end"


@dataclass(frozen=True)
class JudgeSettings(RecorderSettings):
    """What a judge looks for, and how long it waits; it records like the recorder."""

    report: str = setting("", "folder of the verdict: report.json and junit.xml")
    expect: str = setting(
        FLIGHT,
        "flight: the policy flies its task to the end; safe_end: it flew, then a fault came, and"
        " the motors fell silent",
        choices=(FLIGHT, SAFE_END),
    )
    max_rmse: float = setting(
        0.15, "largest RMS position error of the policy's flight in m", low=0.0, high=100.0
    )
    max_unanswered: float = setting(
        0.02, "largest share of odometry samples without a command", low=0.0, high=1.0
    )
    idle_throttle: float = setting(
        0.0,
        "throttle up to which motors only idle, as armed firmware lets them",
        low=0.0,
        high=0.3,
    )
    reaction_time: float = setting(
        0.0,
        "time in s that a vehicle takes to stop its motors once the mode wants them off",
        low=0.0,
        high=5.0,
    )
    patience: float = setting(
        5.0, "silence of the commands in s of wall time that ends a flight", low=0.1, high=600.0
    )
    startup_time: float = setting(
        90.0, "wall time in s in which the first command must come", low=1.0, high=3600.0
    )
    time_limit: float = setting(
        600.0, "wall time in s after which a flight that goes on is judged", low=1.0, high=86400.0
    )


DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765


@dataclass(frozen=True)
class ViewerSettings:
    """Parameters of the viewer node."""

    foxglove: bool = setting(False, "serve the flight to Foxglove by WebSocket")
    foxglove_host: str = setting(
        DEFAULT_HOST, "address to serve at; 0.0.0.0 lets everybody on the network watch"
    )
    foxglove_port: int = setting(
        DEFAULT_PORT, "port to serve at; 0 for any that is free", low=0, high=65535
    )
    view_rate: float = setting(25.0, "wall rate of markers and plots in Hz", low=1.0, high=100.0)
    shown_membranes: int = setting(
        4, "neurons per layer whose membrane potential is shown", low=0, high=100
    )
    launcher_pid: int = setting(0, "end when this parent process is gone; 0 to live alone", low=0)


NO_FOXGLOVE = (
    "foxglove-sdk is not installed, so nothing can be served; pip install -e '.[viz]', or leave"
    " foxglove:=true away"
)


def check_address(host: str, port: int) -> None:
    """Make sure that something can be served at an address.

    Raises:
        UserError: The port is taken or not ours to open, or the address is not of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address, family=family).close()
    except (OSError, UnicodeError) as error:
        raise UserError(_why_not(host, port, error)) from error


def _why_not(host: str, port: int, error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return f"port {port} of {host} is taken; stop who has it, or give foxglove_port:=PORT"
    if getattr(error, "errno", None) == errno.EACCES:
        return f"port {port} is not ours to open; give foxglove_port:=PORT above 1023"
    return (
        f"nothing can be served at '{quote(host)}' ({quote(error)}); give an address of this"
        " machine as foxglove_host:=ADDRESS"
    )
