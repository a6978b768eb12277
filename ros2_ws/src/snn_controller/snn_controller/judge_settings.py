"""Parameters of the judge node. ROS-free."""

from __future__ import annotations

from dataclasses import dataclass

from snn_controller.declaration import setting
from snn_controller.settings import RecorderSettings

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
