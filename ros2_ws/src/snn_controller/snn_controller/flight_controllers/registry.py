"""The links by name: what each takes and needs, how it is opened, and all that it can be told.

A new link is a module with a factory and one row of `LINKS`. The module is imported only when its
link is asked for: its client library may be missing, and links by ROS topics are opened by a node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from snn_controller.errors import UserError
from snn_controller.parameter import setting
from snn_controller.vehicle import ACTION_KINDS, ActionKind, FlightController, FrameNames

ALL_KINDS: frozenset[ActionKind] = frozenset(ACTION_KINDS)
RATES_ONLY: frozenset[ActionKind] = frozenset({"thrust_rates"})
LONGEST_PERIOD = 0.02  # s between two polls of a link


@dataclass(frozen=True)
class PaceOptions(FrameNames):
    """How odometry and commands follow each other; who sends and who answers must agree."""

    odometry_rate: float = setting(100.0, "rate of the odometry in Hz", low=10.0, high=2000.0)
    lockstep: bool = setting(True, "time advances one step per command instead of by the clock")
    listeners: int = setting(
        0,
        "listeners without which time does not begin in lockstep",
        low=0,
        high=100,
    )


@dataclass(frozen=True)
class LinkOptions(PaceOptions):
    """What a link is told at its start, as parameters of the controller; each takes what it needs.

    `hover_thrust` is the autopilot's throttle in [0, 1].
    """

    endpoint: str = setting(
        "",
        "where the flight controller is, as udpin:HOST:PORT, tcp:HOST:PORT or"
        " /dev/ttyACM0:921600; empty for its default",
    )
    hover_thrust: float = setting(
        0.5, "throttle of the flight controller that carries the weight", low=0.01, high=1.0
    )
    thrust_curve: float = setting(
        0.0, "thrust over throttle at the flight controller: 0 linear, 1 square", low=0.0, high=1.0
    )
    lift_estimation: bool = setting(
        True,
        "correct hover_thrust in flight by how the vehicle moves (mavlink, px4, crazyflie)",
    )
    start_frame: bool = setting(
        True,
        "tell odometry from where the vehicle stood and headed before arming (mavlink, px4,"
        " crazyflie); false: as the vehicle tells it, in ENU",
    )
    external_pose: bool = setting(
        False, "poses of the topic pose go to the vehicle's estimator (crazyflie)"
    )
    signing_key: str = setting("", "file of the key that signs MAVLink 2 messages; empty for none")


@dataclass(frozen=True)
class Link:
    """One kind of link, before it is opened."""

    module: str  # with a dot in front: below this package
    factory: str  # takes `LinkOptions`; by topics: the node, `LinkOptions`, the kind of command
    needs: str = ""  # what pip installs when the module's import fails; empty for nothing
    action_kinds: frozenset[ActionKind] = RATES_ONLY
    has_pilot: bool = False  # somebody is there to whom the vehicle can be left
    by_topics: bool = False  # a ROS node opens it
    simulated: bool = False  # flies a drone that no harm comes to
    why_no_motors: str = ""  # why `motors` policies cannot fly by this link

    def poll_period(self, options: PaceOptions) -> float:
        """Return the s between two polls: a flight controller tells its odometry by them only."""
        return (
            LONGEST_PERIOD if self.simulated else min(LONGEST_PERIOD, 0.25 / options.odometry_rate)
        )


NODES = "snn_controller.nodes.controller"  # named, not imported: ROS is no part of the core
LINKS: dict[str, Link] = {
    "sim": Link(
        f"{NODES}.command_topics",
        "CommandTopics",
        "ros-rclpy",
        ALL_KINDS,
        by_topics=True,
        simulated=True,
    ),
    "px4": Link(
        f"{NODES}.px4_topics", "open_px4", "ros-rclpy", ALL_KINDS, has_pilot=True, by_topics=True
    ),
    "crazyflie": Link(
        ".crazyflie.link",
        "CrazyflieLink",
        "cflib",
        why_no_motors="stock Crazyflie firmware takes no setpoint for single motors by radio, and"
        " motors set by parameters come 60 ms late and go round its stabilisation",
    ),
    "betaflight": Link(".betaflight.link", "open_betaflight", "pyserial"),
    "mavlink": Link(".mavlink.link", "open_mavlink", "pymavlink", has_pilot=True),
}


def open_link(
    name: str, options: LinkOptions, *, node: Any = None, kind: ActionKind = "thrust_rates"
) -> FlightController:
    """Open a link and wait until its vehicle has answered.

    Args:
        name: One of `LINKS`.
        options: What it is told.
        node: The ROS node that opens a link by topics.
        kind: What is commanded.

    Raises:
        UserError: The name, the endpoint, the vehicle or its firmware is not fit, nobody answers,
            somebody else commands, or the client library is missing.
    """
    link = LINKS.get(name)
    if link is None:
        raise UserError(f"unknown link '{name}'; there are: {', '.join(LINKS)}")
    try:
        module = import_module(link.module, __package__)
    except ImportError as error:
        if not link.needs:
            raise
        raise UserError(
            f"link '{name}' needs {link.needs} ({error}): pip install {link.needs}"
        ) from error
    factory: Callable[..., FlightController] = getattr(module, link.factory)
    return factory(node, options, kind) if link.by_topics else factory(options)
