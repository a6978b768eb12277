"""The study of surrogate slopes: runs what is missing, and redraws all tables and figures.

    python training/slope_study.py --workers 2
    python training/slope_study.py --draw

Two parts: how gradients of different slopes align, on random networks; and how fast behavioural
cloning, TD3 and TD3BC with a jump start learn with them, on Ray. What has a result is left alone.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch

from snn_controller.errors import UserError
from snn_controller.system import write_atomically
from snn_training.common import Budget
from snn_training.studies import sweep
from snn_training.studies.alignment_study import AlignmentConfig, format_alignment, update_alignment
from snn_training.studies.slope_report import (
    LEARNERS,
    draw_alignment,
    draw_learning,
    format_learning,
    load_learning,
)
from snn_training.studies.table import write_table

ALIGNMENT, LEARNING = "alignment", "slope_learning"  # names of what is written


@dataclass(frozen=True)
class Args:
    """Run what is missing of the slope study, and redraw its tables and figures."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of the training runs."""
    budget: Budget = "study"
    """`study`: at most five minutes on one core a run; `full`: as the scripts do by themselves."""
    workers: int | None = None
    """Runs at once; all cores if not given."""
    address: str | None = None
    """Address of a running Ray cluster; Ray starts here without it."""
    draw: bool = False
    """Only redraw from what is there."""
    results: Path = Path("docs/results")
    """Where results are kept: RESULTS/BUDGET."""
    folder: Path = Path("runs/studies")
    """Where run folders go."""
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    """What the gradients are compared on."""


def main(args: Args) -> None:
    """Run, then draw; a study whose runs failed stops neither the others nor the drawing."""
    place = args.results / args.budget
    if not args.draw:
        torch.set_num_threads(1)
        update_alignment(place / f"{ALIGNMENT}.json", args.alignment)
    failures = [] if args.draw else run_studies(args)
    for path in draw(args, place):
        sys.stdout.write(f"wrote {path}\n")
    if failures:
        raise UserError("; ".join(failures))


def run_studies(args: Args) -> list[str]:
    """Run what is missing of each study and return what went wrong."""
    failures = []
    for study in LEARNERS:
        options = sweep.Args(
            study,
            seeds=args.seeds,
            budget=args.budget,
            workers=args.workers,
            address=args.address,
            results=args.results,
            folder=args.folder,
        )
        try:
            sweep.main(options)
        except UserError as error:
            failures.append(str(error))
    return failures


def draw(args: Args, place: Path) -> list[Path]:
    """Write tables and figures from the results that there are; return their Markdown files."""
    written = []
    numbers = place / f"{ALIGNMENT}.json"
    if numbers.exists():
        found = update_alignment(numbers, args.alignment)
        written.append(
            _write(place / f"{ALIGNMENT}.md", format_alignment(found, f"{ALIGNMENT}.png"))
        )
        draw_alignment(place / f"{ALIGNMENT}.png", found)
    learning = load_learning(place)
    for study, runs in learning.items():
        if any(runs.values()):
            write_table(study, place / study)
            written.append(place / f"{study}.md")
    text = format_learning(learning, args.seeds, f"{LEARNING}.png", budget=args.budget)
    written.append(_write(place / f"{LEARNING}.md", text))
    draw_learning(place / f"{LEARNING}.png", learning)
    return written


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text.encode())
    return path
