"""A training run on disk: its lock, its checkpoint, its log."""

from snn_training.runs.folder import (
    CHECKPOINT,
    POLICY,
    Row,
    Run,
    State,
    arrays,
    create_run,
    load_actor,
    load_best,
    load_guide,
    lock_run,
    log_row,
    plot_log,
    resume_run,
    save_run,
)

__all__ = [
    "CHECKPOINT",
    "POLICY",
    "Row",
    "Run",
    "State",
    "arrays",
    "create_run",
    "load_actor",
    "load_best",
    "load_guide",
    "lock_run",
    "log_row",
    "plot_log",
    "resume_run",
    "save_run",
]
