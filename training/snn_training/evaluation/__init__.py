"""The fixed test: scenarios, metrics, tables, and the reports of a training."""

from snn_training.evaluation.evaluate import Args, evaluate
from snn_training.evaluation.reporter import SCORES, Reporter, ReportingConfig
from snn_training.evaluation.scenarios import CELLS, Split
from snn_training.evaluation.table import CELL_SCORES, TRACK_SCORES, Column, markdown_table
from snn_training.evaluation.tracks import TRACKS

__all__ = [
    "CELLS",
    "CELL_SCORES",
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
