"""Crazyflie firmware by CRTP: radio, USB or UDP."""

from snn_controller.flight_controllers.crazyflie.link import CrazyflieLink
from snn_controller.flight_controllers.crazyflie.messages import (
    STATE_VARIABLES,
    STATUS_VARIABLES,
    STOP,
    Setpoint,
    Supervisor,
)
from snn_controller.flight_controllers.crazyflie.radio import (
    REST_TIME,
    SILENCE_TIME,
    SLACK,
    STALE,
    STATE_PERIOD,
    STATUS_PERIOD,
    CrazyflieRadio,
    Sample,
)

__all__ = [
    "REST_TIME",
    "SILENCE_TIME",
    "SLACK",
    "STALE",
    "STATE_PERIOD",
    "STATE_VARIABLES",
    "STATUS_PERIOD",
    "STATUS_VARIABLES",
    "STOP",
    "CrazyflieLink",
    "CrazyflieRadio",
    "Sample",
    "Setpoint",
    "Supervisor",
]
