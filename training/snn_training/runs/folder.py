"""Run folders: configuration, seed and git hash, checkpoints, CSV log, learning curve."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from snn_controller.errors import UserError
from snn_controller.report.plots import write_picture
from snn_controller.system import write_atomically
from snn_training.common import git_hash
from snn_training.networks import Network, NetworkConfig, make_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure


CHECKPOINT, CONFIG, LOG, CURVE, POLICY = (
    "checkpoint.pt",
    "config.json",
    "progress.csv",
    "learning_curve.png",
    "policy.onnx",
)


def create_run(folder: Path, config: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
    """Make a run folder, save its configuration and return the provenance for the artifact.

    Raises:
        UserError: The folder holds a run already or cannot be made.
    """
    if (folder / CHECKPOINT).exists():
        raise UserError(f"{folder} already holds a run; choose another --name or remove it")
    provenance = {
        "command": " ".join(["python", *sys.argv]),
        "config": dict(config),
        "seed": seed,
        "git": git_hash(),
        "torch": torch.__version__,
    }
    write_atomically(folder / CONFIG, (json.dumps(provenance, indent=2) + "\n").encode())
    return provenance


def save_checkpoint(folder: Path, policy: Network, provenance: Mapping[str, Any]) -> None:
    """Save weights, network shape and provenance; the old checkpoint stays until it is complete."""
    with tempfile.TemporaryFile() as file:
        content = {
            "network": asdict(policy.config),
            "weights": policy.state_dict(),
            "provenance": json.dumps(provenance),
        }
        torch.save(content, file)
        file.seek(0)
        write_atomically(folder / CHECKPOINT, file.read())


def load_checkpoint(folder: Path) -> tuple[Network, dict[str, Any]]:
    """Return the network and the provenance of a run.

    Raises:
        UserError: There is no checkpoint or it cannot be used.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(f"{folder} holds no {CHECKPOINT}; give the folder of a training run")
    try:
        content = torch.load(path, weights_only=True)
        shape = content["network"]
        policy = make_network(NetworkConfig(**{**shape, "hidden": tuple(shape["hidden"])}))
        policy.load_state_dict(content["weights"])
        return policy, json.loads(content["provenance"])
    except Exception as error:  # torch and pickle raise many types for a damaged file
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be used ({reason}); train the run again") from error


def append_log(folder: Path, row: Mapping[str, Any]) -> None:
    """Append one row to the run's CSV log, with a header before the first."""
    path = folder / LOG
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def plot_log(
    folder: Path, columns: Mapping[str, str], *, x: str, logarithmic: bool = False
) -> None:
    """Draw columns (name -> axis label) of the CSV log over one column, one panel each."""
    with (folder / LOG).open() as file:
        rows = list(csv.DictReader(file))

    def fill(figure: Figure) -> None:
        panels = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
        for panel, (name, label) in zip(panels, columns.items(), strict=True):
            points = [(float(row[x]), float(row[name])) for row in rows if row[name]]
            panel.plot(*zip(*points, strict=True) if points else ([], []), marker=".", markersize=3)
            panel.set_ylabel(label)
            if logarithmic and name == next(iter(columns)):
                panel.set_yscale("log")
        panels[-1].set_xlabel(x)
        figure.set_layout_engine("constrained")

    write_picture(folder / CURVE, fill, size=(7.0, 1.8 * len(columns)), resolution=120)
