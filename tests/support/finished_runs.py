"""What runs of the learners left behind, for tests that compare them; no tests of its own."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from snn_training.networks.make import Network
from snn_training.runs.folder import create_run, save_run


def save_network(folder: Path, network: Network, **config: Any) -> None:
    """Leave the checkpoint of a run of bc.py that ended with a network."""
    run = create_run("bc", folder, {"network": asdict(network.config), **config}, seed=3)
    run.best = network.state_dict()
    save_run(run, {})


def save_old_network(folder: Path, network: Network, **config: Any) -> None:
    """Leave the checkpoint that bc.py wrote when its runs could not be resumed."""
    content = {
        "network": asdict(network.config),
        "weights": network.state_dict(),
        "provenance": json.dumps({"config": config, "seed": 3}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / "checkpoint.pt")


class Killed(BaseException):
    """What nothing catches, like a kill."""


def outcome(folder: Path) -> tuple[list[torch.Tensor], list[dict[str, str]]]:
    """Return actor, critic and replay of a run's checkpoint, and its log but for the times."""
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    tensors = [x for part in ("actor", "target_critic") for x in content["learner"][part].values()]
    tensors += [x for x in content["replay"]["arrays"].values()]
    return tensors, rows_of(folder)


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Return the log of a run, but for the times."""
    with (folder / "progress.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def same(one: Path, other: Path) -> bool:
    """Whether two runs ended bit-identical."""
    (tensors, rows), (others, other_rows) = outcome(one), outcome(other)
    return rows == other_rows and all(map(torch.equal, tensors, others))
