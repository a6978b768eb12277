"""Parameters of the nodes: each declared once, with type, default, range and description.

The nodes declare them to ROS, the graph sets them, the docs list them. ROS-free.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from snn_controller.tasks import TASKS

LINKS = ("sim",)
WORLDS = ("pybullet", "gym_pybullet_drones")


def _setting(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Return a dataclass field that carries its description and its bounds."""
    metadata = {"description": description, "low": low, "high": high, "choices": choices}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class GraphSettings:
    """What the controller and the simulator must agree on."""

    airframe: str = _setting("crazyflie21", "airframe in quadrotors.yaml")
    odometry_rate: float = _setting(100.0, "rate of the odometry in Hz", low=10.0, high=2000.0)
    hover_height: float = _setting(1.0, "height of the hover point in m", low=0.3, high=50.0)
    lockstep: bool = _setting(True, "time advances one step per command instead of by the clock")
    world_frame: str = _setting("odom", "frame of the odometry's pose (ENU)")
    body_frame: str = _setting("base_link", "frame of the odometry's twist (FLU)")
    launcher_pid: int = _setting(0, "end when this parent process is gone; 0 to live alone", low=0)


@dataclass(frozen=True)
class ControllerSettings(GraphSettings):
    """Parameters of the controller node."""

    policy: str = _setting("", "policy file; empty for the shipped hover policy")
    policy_sha256: str = _setting("", "refuse any policy file but the one with this hash, if set")
    link: str = _setting("sim", "flight controller to command", choices=LINKS)
    task: str = _setting("hover", "what to fly", choices=tuple(TASKS))
    duration: float = _setting(20.0, "flight time in s", low=0.1, high=1e6)
    seed: int = _setting(1, "seed of the flight, for the report", low=0, high=2**31)
    report: str = _setting("", "folder of the flight report; empty for flights/<time>-<task>")
    plot: bool = _setting(True, "draw flight.png beside report.json")
    await_node: str = _setting("", "do not configure before this node is up; empty for none")
    exit_when_done: bool = _setting(False, "end the process with the flight")
    geofence: list[float] = _setting(
        [-3.0, 3.0, -3.0, 3.0, -0.5, 3.0], "x, y, z bounds in m: low, high, low, high, low, high"
    )
    max_tilt_deg: float = _setting(120.0, "tilt at which the guide takes over", low=1.0, high=180.0)
    odometry_timeout: float = _setting(
        0.1, "age or silence of the odometry in s that counts as lost", low=0.01, high=10.0
    )
    startup_timeout: float = _setting(
        15.0, "wait for the first odometry in s", low=0.1, high=3600.0
    )
    descent_time: float = _setting(
        2.0, "level descent in s without odometry before the motors stop", low=0.0, high=60.0
    )
    neuron_rate: float = _setting(
        10.0, "rate of the spike and membrane topics in Hz; 0 for none", low=0.0, high=1000.0
    )


@dataclass(frozen=True)
class SimulatorSettings(GraphSettings):
    """Parameters of the simulator node."""

    seed: int = _setting(1, "seed of the start", low=0, high=2**31)
    start: str = _setting(
        "hover",
        "distribution of the start around the hover point",
        choices=("hover", "easy", "standard", "hard", "ground"),
    )
    world: str = _setting("pybullet", "simulated world", choices=WORLDS)
    gui: bool = _setting(False, "show PyBullet's window")
    physics_rate: float = _setting(500.0, "rate of the physics in Hz", low=50.0, high=20000.0)
    command_timeout: float = _setting(
        0.2,
        "silence of the commands in s of simulated time that stops the motors",
        low=0.01,
        high=5.0,
    )


@dataclass(frozen=True)
class RecorderSettings:
    """Parameters of the recorder node."""

    folder: str = _setting("", "folder of the bag, which must not exist yet")
    topics: list[str] = _setting(
        [
            "odom",
            "goal",
            "motors",
            "thrust_rates",
            "snn_controller/spikes",
            "snn_controller/membranes",
            "/diagnostics",
            "/clock",
            "/tf",
        ],
        "topics to record, those of unknown type once somebody publishes them",
    )
    reliable: bool = _setting(False, "ask reliable publishers to send lost messages again")
    reserve_mib: float = _setting(
        32.0, "free space in MiB at which recording stops", low=1.0, high=1e6
    )
    launcher_pid: int = _setting(0, "end when this parent process is gone; 0 to live alone", low=0)
