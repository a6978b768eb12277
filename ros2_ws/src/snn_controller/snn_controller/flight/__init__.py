"""A flight without ROS: who gives the command, when it arms, its plan, its clock, its settings."""

from snn_controller.flight.backup import TOUCHDOWN_HEIGHT
from snn_controller.flight.control_loop import DISARM_TIME, Clocks, ControlLoop
from snn_controller.flight.flight import Flight
from snn_controller.flight.parameters import (
    AUTO_STARTS,
    DEFAULT_HOST,
    DEFAULT_PORT,
    FLIGHT,
    LINKS,
    NO_FOXGLOVE,
    ControllerSettings,
    GraphSettings,
    JudgeSettings,
    RecorderSettings,
    SimulatorSettings,
    ViewerSettings,
    check_address,
)
from snn_controller.flight.plan import FlightPlan
from snn_controller.flight.setup import prepare_flight

__all__ = [
    "AUTO_STARTS",
    "DEFAULT_HOST",
    "DEFAULT_PORT",
    "DISARM_TIME",
    "FLIGHT",
    "LINKS",
    "NO_FOXGLOVE",
    "TOUCHDOWN_HEIGHT",
    "Clocks",
    "ControlLoop",
    "ControllerSettings",
    "Flight",
    "FlightPlan",
    "GraphSettings",
    "JudgeSettings",
    "RecorderSettings",
    "SimulatorSettings",
    "ViewerSettings",
    "check_address",
    "prepare_flight",
]
