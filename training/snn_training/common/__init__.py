"""What every script needs: the command line, bounds of options, provenance, worker processes."""

from snn_training.common.bounds import (
    Rules,
    bounded,
    check_bounds,
    checked,
    layers,
    plain_name,
    require,
    some,
)
from snn_training.common.command import Budget, git_hash, with_budget, with_simulator
from snn_training.common.workers import run_jobs

__all__ = [
    "Budget",
    "Rules",
    "bounded",
    "check_bounds",
    "checked",
    "git_hash",
    "layers",
    "plain_name",
    "require",
    "run_jobs",
    "some",
    "with_budget",
    "with_simulator",
]
