"""What every script needs: the command line, bounds of options, provenance, worker processes."""

from snn_training.common.bounds import Rules, require
from snn_training.common.command import Budget, with_budget, with_simulator
from snn_training.common.provenance import git_hash
from snn_training.common.workers import run_jobs

__all__ = [
    "Budget",
    "Rules",
    "git_hash",
    "require",
    "run_jobs",
    "with_budget",
    "with_simulator",
]
