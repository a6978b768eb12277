"""What a flight is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from snn_controller.control import Task
from snn_controller.vehicle import Array


@dataclass(frozen=True)
class FlightPlan:
    """What to fly, where and for how long."""

    task: Task
    duration: float  # s that the policy is in control
    hover_point: Array = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))  # m
    # m; where a standing drone's centre is higher than a small one's (guided.py), so is this
    ground_height: float = 0.0
    descent_time: float = 2.0  # s of level descent without odometry before the motors stop
    auto_start: bool = True  # arm and fly on the first odometry, in the air too
    from_ground: bool = False  # the drone begins and ends on the ground, whatever the task
    has_pilot: bool = False  # somebody is there to whom the drone can be left

    @property
    def lands(self) -> bool:
        """Whether the flight begins and ends on the ground."""
        return self.task.from_ground or self.from_ground or not self.auto_start
