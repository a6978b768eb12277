"""A training run on disk: its folder, its checkpoint."""

from snn_training.runs.checkpoint import (
    LearnerRun,
    Nothing,
    load_best,
    load_guide,
    log_row,
    open_run,
    save_run,
)
from snn_training.runs.folder import (
    CHECKPOINT,
    LOG,
    POLICY,
    append_log,
    create_run,
    load_checkpoint,
    plot_log,
    save_checkpoint,
)

__all__ = [
    "CHECKPOINT",
    "LOG",
    "POLICY",
    "LearnerRun",
    "Nothing",
    "append_log",
    "create_run",
    "load_best",
    "load_checkpoint",
    "load_guide",
    "log_row",
    "open_run",
    "plot_log",
    "save_checkpoint",
    "save_run",
]
