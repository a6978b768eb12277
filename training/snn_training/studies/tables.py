"""Print one Markdown table from many evaluations: a row a policy, columns as chosen.

python training/tables.py 'JSRL=runs/jsrl-*/evaluation.json' guide=guide.json --scores return_end
"""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from snn_controller.errors import UserError
from snn_training.evaluation import (
    CELL_SCORES,
    SCENARIOS,
    SCORES,
    TRACK_SCORES,
    TRACKS,
    Column,
    markdown_table,
)

Report = dict[str, Any]
MAKE = "make one with training/evaluate.py --json"


@dataclass(frozen=True)
class Args:
    """Print a Markdown table of evaluations: mean over a row's files, +- their deviation."""

    files: tyro.conf.Positional[tuple[str, ...]]
    """Files of `training/evaluate.py --json`, or `evaluation.json` of runs. LABEL=FILE names the
    row; files of one label share it. FILE may be a quoted pattern such as 'runs/jsrl-*/*.json'."""
    cells: tuple[str, ...] = ("standard", "hard")
    """Cells to show."""
    scores: tuple[str, ...] = ("return_end", "survival", "steady_xy_m", "action_step")
    """Scores to show of each cell."""
    tracks: tuple[str, ...] = ()
    """Tracks to show."""
    track_scores: tuple[str, ...] = ("rms_m", "survival")
    """Scores to show of each track."""


def main(args: Args) -> None:
    """Print the table."""
    sys.stdout.write(make_table(args))


def make_table(args: Args) -> str:
    """Return the table as Markdown; a row for each label and simulator.

    Raises:
        UserError: A name is unknown, a file unreadable or no evaluation.
    """
    columns = list(_columns(args))
    rows: dict[str, list[Report]] = {}
    for word in args.files:
        for label, report in read_reports(word):
            rows.setdefault(f"{label} ({report['sim']})", []).append(report)
    if not rows:
        raise UserError(f"no evaluation given; {MAKE}")
    return markdown_table(rows, columns)


def read_reports(word: str) -> Iterator[tuple[str, Report]]:
    """Yield the reports of a file, a pattern or LABEL=either, each with its label.

    Without a label, that is the name of the run's folder or of the file.

    Raises:
        UserError: There is no such file, or it is no evaluation.
    """
    label, _, pattern = word.rpartition("=")
    paths = [Path(name) for name in sorted(glob.glob(pattern))]
    if not paths:
        raise UserError(f"no file {pattern}; {MAKE}")
    for path in paths:
        name = path.resolve().parent.name if path.name == SCORES else path.stem
        for report in _read(path):
            yield label or name, report


def _read(path: Path) -> list[Report]:
    """Return the one report of `evaluate`, or those of a run, one for each simulator."""
    try:
        content = json.loads(path.read_text())
        reports = [content] if "sim" in content else list(content.values())
        if all({"sim", "cells"} <= set(report) for report in reports):
            return reports
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no evaluation ({error}); {MAKE}") from error
    raise UserError(f"{path} is no evaluation; {MAKE}")


def _columns(args: Args) -> Iterator[Column]:
    _require("cell", args.cells, tuple(SCENARIOS))
    _require("score", args.scores, tuple(CELL_SCORES))
    _require("track", args.tracks, TRACKS)
    _require("track score", args.track_scores, tuple(TRACK_SCORES))
    for cell in args.cells:
        yield from (Column("cells", cell, score) for score in args.scores)
    for track in args.tracks:
        yield from (Column("tracks", track, score) for score in args.track_scores)


def _require(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UserError(f"unknown {what} '{unknown[0]}'; choose from: {', '.join(known)}")
