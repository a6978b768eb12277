"""The judge of a watched flight: what it saw, what that means, what it writes."""

from snn_controller.judge.checks import judge
from snn_controller.judge.evidence import Account, Evidence
from snn_controller.judge.report import summary_lines, write_judgement

__all__ = [
    "Account",
    "Evidence",
    "judge",
    "summary_lines",
    "write_judgement",
]
