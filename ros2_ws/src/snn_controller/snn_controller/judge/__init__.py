"""The judge of a watched flight: what it saw, what that means, what it writes."""

from snn_controller.judge.checks import judge, summary_lines, write_judgement
from snn_controller.judge.observations import Account, Observations

__all__ = [
    "Account",
    "Observations",
    "judge",
    "summary_lines",
    "write_judgement",
]
