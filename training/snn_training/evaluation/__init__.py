"""The fixed test: scenarios, metrics, tables, and the reports of a training."""

from snn_training.evaluation.evaluate import Args, evaluate
from snn_training.evaluation.reporter import SCORES, Reporter, ReportingConfig
from snn_training.evaluation.scenarios import SCENARIOS, TRACKS, Split
from snn_training.evaluation.table import CELL_SCORES, TRACK_SCORES, Column, markdown_table

__all__ = [
    "CELL_SCORES",
    "SCENARIOS",
    "SCORES",
    "TRACKS",
    "TRACK_SCORES",
    "Args",
    "Column",
    "Reporter",
    "ReportingConfig",
    "Split",
    "evaluate",
    "markdown_table",
]
