"""Scores as text: one report for the screen, many as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# score -> title, format
CELL_SCORES = {
    "return_start": ("return start", ".1f"),
    "return_end": ("return end", ".1f"),
    "survival": ("survival", ".3f"),
    "rms_xy_m": ("rms xy m", ".3f"),
    "steady_xy_m": ("steady xy m", ".3f"),
    "rms_z_m": ("rms z m", ".3f"),
    "steady_z_m": ("steady z m", ".3f"),
    "action_step": ("action step", ".3f"),
    "synaptic_ops": ("synaptic ops", ".0f"),
    "energy_nj": ("energy nJ", ".0f"),
    "energy_45nm_nj": ("45 nm nJ", ".1f"),
    "energy_cortex_m7_nj": ("Cortex-M7 nJ", ".0f"),
}
TRACK_SCORES = {
    "survival": ("survival", ".3f"),
    "rms_m": ("rms m", ".3f"),
    "steady_m": ("steady m", ".3f"),
    "action_step": ("action step", ".3f"),
    "synaptic_ops": ("synaptic ops", ".0f"),
    "energy_nj": ("energy nJ", ".0f"),
    "energy_45nm_nj": ("45 nm nJ", ".1f"),
    "energy_cortex_m7_nj": ("Cortex-M7 nJ", ".0f"),
}
SCREEN = ("return_start", "return_end", "survival", "rms_xy_m", "steady_xy_m", "rms_z_m")
SCREEN += ("action_step", "synaptic_ops", "energy_nj")
TRACK_SCREEN = ("survival", "rms_m", "steady_m", "action_step", "synaptic_ops", "energy_nj")
NOTHING = "-"
WIDTH = 14


@dataclass(frozen=True)
class Column:
    """One column of a Markdown table: a score of a cell or track."""

    kind: str  # `cells` or `tracks` of a report
    name: str
    score: str

    @property
    def title(self) -> str:
        """Name and score in words."""
        return f"{self.name} {self._known[self.score][0]}"

    def cell(self, reports: Sequence[Mapping[str, Any]]) -> str:
        """Return the mean over the reports that have it, +- its spread where there are several."""
        found = [self._mean(report) for report in reports]
        means = np.array([x for x in found if x is not None])
        if not means.size:
            return NOTHING
        form = self._known[self.score][1]
        text = format(means.mean(), form)
        return text if means.size == 1 else f"{text} ± {format(means.std(ddof=1), form)}"

    @property
    def _known(self) -> dict[str, tuple[str, str]]:
        return CELL_SCORES if self.kind == "cells" else TRACK_SCORES

    def _mean(self, report: Mapping[str, Any]) -> float | None:
        return report.get(self.kind, {}).get(self.name, {}).get(self.score, {}).get("mean")


def format_report(report: Mapping[str, Any]) -> str:
    """Return the means of a report as a text table, one cell or track of the test a line."""
    text = _block("cell", report["cells"], SCREEN, CELL_SCORES)
    return text + _block("track", report.get("tracks", {}), TRACK_SCREEN, TRACK_SCORES)


def _block(
    kind: str,
    rows: Mapping[str, Any],
    scores: Sequence[str],
    known: Mapping[str, tuple[str, str]],
) -> str:
    if not rows:
        return ""
    lines = [[kind, *(known[score][0] for score in scores)]]
    for name, row in rows.items():
        means = [(row[score]["mean"], known[score][1]) for score in scores]
        lines.append([name, *(NOTHING if x is None else format(x, form) for x, form in means)])
    return "".join("".join(f"{text:>{WIDTH}}" for text in line) + "\n" for line in lines)


def markdown_table(
    rows: Mapping[str, Sequence[Mapping[str, Any]]], columns: Sequence[Column]
) -> str:
    """Return a Markdown table of reports.

    Args:
        rows: Label -> reports, of several seeds for instance.
        columns: What to show.
    """
    head = ["policy", "runs", *(column.title for column in columns)]
    lines = [head, ["---"] * len(head)]
    for label, reports in rows.items():
        lines.append([label, str(len(reports)), *(x.cell(reports) for x in columns)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
