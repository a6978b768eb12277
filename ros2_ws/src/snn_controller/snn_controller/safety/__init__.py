"""What keeps a flight safe: the state machine, the guards, their limits and their verdicts."""

from snn_controller.safety.envelope import check_envelope, check_goal, is_overturned
from snn_controller.safety.estimate import SURE_LIFT, TURN_EVIDENCE
from snn_controller.safety.guard import Guard, Moment, Stage, Verdict
from snn_controller.safety.guards import RULES, Limits, make_guards
from snn_controller.safety.policy import TIMING_WINDOW
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
    "Event",
    "Guard",
    "Limits",
    "Mode",
    "Moment",
    "Stage",
    "Verdict",
    "check_envelope",
    "check_goal",
    "is_overturned",
    "make_guards",
    "next_mode",
    "refusal",
]
