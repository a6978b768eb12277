"""The link that a parameter names: topics to a simulator, or a flight controller."""

from __future__ import annotations

from dataclasses import fields

from rclpy.node import Node

from snn_controller.flight import ControllerSettings
from snn_controller.flight_controllers import LinkOptions, link_has_pilot, open_link
from snn_controller.flight_controllers.px4 import Px4Link
from snn_controller.nodes.controller.command_topics import COMMAND_KINDS, CommandTopics
from snn_controller.nodes.controller.pose_relay import PoseRelay
from snn_controller.nodes.controller.px4_topics import open_px4
from snn_controller.vehicle import ActionKind, FlightController

# What every flight controller takes; motors are commanded in simulation and by `px4` only.
RATE_KINDS: frozenset[ActionKind] = frozenset({"thrust_rates"})
LONGEST_PERIOD = 0.02  # s between two polls of a link


def describe_link(name: str) -> tuple[frozenset[ActionKind], bool]:
    """Return the kinds of command that a link takes, and whether it has a pilot."""
    if name == CommandTopics.name:
        return COMMAND_KINDS, CommandTopics.has_pilot
    if name == Px4Link.name:
        return Px4Link.action_kinds, Px4Link.has_pilot
    return RATE_KINDS, link_has_pilot(name)


def poll_period(settings: ControllerSettings) -> float:
    """Return the s between two polls: a flight controller tells its odometry by them only."""
    if settings.link == CommandTopics.name:
        return LONGEST_PERIOD
    return min(LONGEST_PERIOD, 0.25 / settings.odometry_rate)


def open_command_link(
    node: Node, settings: ControllerSettings, kind: ActionKind
) -> FlightController:
    """Open the link that the settings name, for commands of one kind.

    Raises:
        UserError: Somebody else commands, nobody answers, or the vehicle is not fit.
    """
    if settings.link == CommandTopics.name:
        lockstep, listeners = settings.lockstep, settings.listeners
        return CommandTopics(node, kind, lockstep=lockstep, listeners=listeners)
    names = (option.name for option in fields(LinkOptions))
    options = LinkOptions(**{name: getattr(settings, name) for name in names})
    if settings.link == Px4Link.name:
        link = open_px4(node, options, kind)
    else:
        link = open_link(settings.link, options)
    if settings.external_pose:
        PoseRelay(node, link, settings.world_frame)
    node.get_logger().info(f"link {settings.link}: {link.description}")
    return link
