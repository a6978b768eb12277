"""What runs of the learners left behind, for tests that compare them; no tests of its own."""

from __future__ import annotations

import csv
from pathlib import Path

import torch


class Killed(BaseException):
    """What nothing catches, like a kill."""


def outcome(folder: Path) -> tuple[list[torch.Tensor], list[dict[str, str]]]:
    """Return actor, critic and replay of a run's checkpoint, and its log but for the times."""
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    tensors = [x for part in ("actor", "target_critic") for x in content["learner"][part].values()]
    tensors += [x for x in content["replay"]["arrays"].values()]
    with (folder / "progress.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return tensors, rows


def same(one: Path, other: Path) -> bool:
    """Whether two runs ended bit-identical."""
    (tensors, rows), (others, other_rows) = outcome(one), outcome(other)
    return rows == other_rows and all(map(torch.equal, tensors, others))
