"""What keeps a flight safe: the state machine, the guards, their limits and their verdicts."""

from snn_controller.safety.envelope import check_envelope, check_goal, is_overturned
from snn_controller.safety.estimate import SURE_LIFT, TURN_EVIDENCE, EstimateGuard
from snn_controller.safety.limits import Limits
from snn_controller.safety.policy import TIMING_WINDOW, PolicyGuard, TimingGuard
from snn_controller.safety.preflight import RestWatch
from snn_controller.safety.state_machine import (
    FINAL_MODES,
    GROUND_MODES,
    GUIDED_MODES,
    MOTORLESS_MODES,
    TRANSITIONS,
    Event,
    Mode,
    next_mode,
    refusal,
)
from snn_controller.safety.vehicle import VehicleGuard
from snn_controller.safety.verdicts import RULES, Verdict

__all__ = [
    "FINAL_MODES",
    "GROUND_MODES",
    "GUIDED_MODES",
    "MOTORLESS_MODES",
    "RULES",
    "SURE_LIFT",
    "TIMING_WINDOW",
    "TRANSITIONS",
    "TURN_EVIDENCE",
    "EstimateGuard",
    "Event",
    "Limits",
    "Mode",
    "PolicyGuard",
    "RestWatch",
    "TimingGuard",
    "VehicleGuard",
    "Verdict",
    "check_envelope",
    "check_goal",
    "is_overturned",
    "next_mode",
    "refusal",
]
