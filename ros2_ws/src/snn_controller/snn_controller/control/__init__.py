"""The classical controllers: geometric control, the rate loop, and the trajectories to follow."""

from snn_controller.control.body_rate import (
    AUTOPILOT_LAG,
    RateGains,
    autopilot_gains,
    control_rates,
    desired_throttle,
    lead_for,
)
from snn_controller.control.geometric import GuideGains, geometric_control, geometric_thrust_rates
from snn_controller.control.trajectories import TASKS, Task, find_task

__all__ = [
    "AUTOPILOT_LAG",
    "TASKS",
    "GuideGains",
    "RateGains",
    "Task",
    "autopilot_gains",
    "control_rates",
    "desired_throttle",
    "find_task",
    "geometric_control",
    "geometric_thrust_rates",
    "lead_for",
]
