"""How an interval of a run ends: all is finite, the best artifact is kept, everything is saved."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from snn_controller.errors import UserError
from snn_training.common import Rules
from snn_training.rollouts import VALIDATION_SEED
from snn_training.runs import CHECKPOINT, POLICY, LearnerRun, log_row, plot_log, save_run


def check_finite(run: LearnerRun, losses: Sequence[Any]) -> None:
    """Stop before anything is saved that is not finite.

    Raises:
        UserError: A loss or a weight is not finite.
    """
    if not (np.isfinite(losses).all() and run.learner.is_finite()):
        raise UserError(
            f"the loss is no longer finite after {len(run.rows)} good intervals; the last "
            f"checkpoint in {run.folder} is good, so start again with smaller learning rates"
        )


def save_interval(
    run: LearnerRun,
    row: Mapping[str, Any],
    panels: Mapping[str, str],
    actor: nn.Module,
    export: Callable[[Path, dict[str, Any]], None],
) -> None:
    """Save artifact, log, picture and, last, the checkpoint that makes the interval count.

    The artifact is that of the best interval so far, by the return of its validation.

    Args:
        run: The run.
        row: Of the log, with the interval's validation.
        panels: Column -> label of what the picture shows.
        actor: The network that was validated.
        export: Writes its artifact to a path, with a provenance.
    """
    if row["return_end"] >= max((x["return_end"] for x in run.rows), default=-np.inf):
        export(run.folder / POLICY, {**run.provenance, "validation": dict(row)})
        run.best = copy.deepcopy(actor.state_dict())
    log_row(run, dict(row))
    plot_log(run.folder, panels, x="interval")
    save_run(run)


def say_stopped(folder: Path) -> None:
    """Tell what an interrupted run has left behind."""
    tqdm.write(f"stopped early; {folder / CHECKPOINT} holds the last whole interval")
    tqdm.write("go on with the same command and --resume")


def run_rules(args: Any) -> Rules:
    """Return the rules of the options that every run of intervals has."""
    return {
        "intervals": (1 <= args.intervals <= 100_000, "1 to 100000"),
        "validation": (1 <= args.validation <= 65_536, "1 to 65536"),
        "threads": (1 <= args.threads <= 64, "1 to 64"),
        "seed": (0 <= args.seed < VALIDATION_SEED, "0 or more and below 2^40"),
        "name": (args.name not in ("", ".", "..") and "/" not in args.name, "a plain name"),
    }
