"""What a flight is asked to do, and the modes it goes through."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from snn_controller.frames import Array
from snn_controller.tasks import Task


class Mode(str, Enum):
    """Who flies."""

    IDLE = "idle"
    TAKEOFF = "takeoff"
    POLICY = "policy"
    FALLBACK = "fallback"
    DESCENT = "descent"
    LAND = "land"
    STOPPED = "stopped"


@dataclass(frozen=True)
class FlightPlan:
    """What to fly, where and for how long."""

    task: Task
    duration: float  # s that the policy is in control
    hover_point: Array = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))  # m
    ground_height: float = 0.0  # m
    descent_time: float = 2.0  # s of level descent without odometry before the motors stop
