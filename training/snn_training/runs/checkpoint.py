"""What a run of an off-policy learner is made of, and how it survives `kill -9`.

The checkpoint holds everything that the rest of the run depends on: networks, optimisers, all
generators, the replay, the drones in mid-flight and the log. It is replaced in one piece at the end
of an interval, so a killed run loses less than one, and goes on as if nothing had happened.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

from snn_controller.errors import UserError
from snn_controller.system import write_atomically
from snn_training.networks import ActorOfGuide, make_actor
from snn_training.runs.folder import CHECKPOINT, CONFIG, LOG, create_run

FORMAT = 2
FREE_OPTIONS = ("folder", "name", "resume", "reporting")  # may differ when a run is resumed
LearnerT = TypeVar("LearnerT", bound="Kept")
CollectorT = TypeVar("CollectorT", bound="Kept")


class Kept(Protocol):
    """What a checkpoint keeps."""

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes."""
        ...

    def restore(self, snapshot: Mapping[str, Any], /) -> None:
        """Go on from a snapshot."""
        ...


class Nothing:
    """Keeps nothing: the replay of a learner without one."""

    def snapshot(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, snapshot: Mapping[str, Any], /) -> None:
        """Restore nothing."""


@dataclass
class LearnerRun(Generic[LearnerT, CollectorT]):
    """The parts of a run."""

    script: str  # that trains it
    folder: Path
    rng: np.random.Generator
    learner: LearnerT
    replay: Any  # a Kept of the learner's own kind; `Nothing` where there is none
    collector: CollectorT
    rows: list[dict[str, Any]] = field(default_factory=list)  # the log, one row an interval
    provenance: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)  # actor's weights with the best validation


def open_run(run: LearnerRun, config: Mapping[str, Any], *, seed: int, resume: bool) -> None:
    """Make the folder of a new run, or take over where an old one stands.

    Raises:
        UserError: A new run's folder is taken, or there is nothing usable to resume.
    """
    plain = json.loads(json.dumps(config, default=str))
    if resume:
        _restore(run, plain)
    else:
        run.provenance = create_run(run.folder, plain, seed=seed)
        (run.folder / LOG).unlink(missing_ok=True)
        save_run(run)


def save_run(run: LearnerRun) -> None:
    """Save the checkpoint; the old one stays until the new one is complete.

    Raises:
        UserError: It cannot be written.
    """
    content = {
        "format": FORMAT,
        "script": run.script,
        "learner": run.learner.snapshot(),
        "best": run.best,
        "replay": _tensors(run.replay.snapshot()),
        "collector": _tensors(run.collector.snapshot()),
        "generator": json.dumps(run.rng.bit_generator.state),
        "rows": json.dumps(run.rows),
        "provenance": json.dumps(run.provenance),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    _write(run.folder / CHECKPOINT, buffer.getvalue())


def log_row(run: LearnerRun, row: dict[str, Any]) -> None:
    """Add a row to the log and write the log anew, so that a resumed run repeats no row."""
    run.rows.append(row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(row))
    writer.writeheader()
    writer.writerows(run.rows)
    _write(run.folder / LOG, text.getvalue().encode())


def load_guide(folder: Path) -> ActorOfGuide:
    """Return the actor of the interval of a run that validated best.

    Raises:
        UserError: There is no usable checkpoint, or no interval is complete yet.
    """
    content = _load(folder, "td3")
    if not content["best"]:
        raise UserError(f"{folder} has no complete interval yet; train it on with --resume")
    learner = json.loads(content["provenance"])["config"]["learner"]
    kind, steps = learner.get("actor", "perceptron"), learner.get("actor_steps", 1)
    actor = make_actor(kind, tuple(learner["actor_hidden"]), steps, torch.Generator())
    actor.load_state_dict(content["best"])
    return actor


def load_best(folder: Path, script: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights of the interval of a run that validated best, and its provenance.

    Raises:
        UserError: There is no usable checkpoint of that script, or no interval is complete yet.
    """
    content = _load(folder, script)
    if not content["best"]:
        raise UserError(f"{folder} has no complete interval yet; train it on with --resume")
    return content["best"], json.loads(content["provenance"])


def _restore(run: LearnerRun, config: Mapping[str, Any]) -> None:
    content = _load(run.folder, run.script)
    provenance = json.loads(content["provenance"])
    _check_config(provenance["config"], config, run.folder)
    run.provenance = provenance
    run.best = content["best"]
    run.rows = json.loads(content["rows"])
    run.learner.restore(content["learner"])
    run.replay.restore(_arrays(content["replay"]))
    run.collector.restore(_arrays(content["collector"]))
    run.rng.bit_generator.state = json.loads(content["generator"])


def _load(folder: Path, script: str) -> dict[str, Any]:
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(f"{folder} holds no {CHECKPOINT}; give a run of training/{script}.py")
    try:
        content = torch.load(path, weights_only=True)
        version = content["format"]
    except Exception as error:  # torch and pickle raise many types for a damaged file
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be used ({reason}); train the run again") from error
    if version != FORMAT:
        raise UserError(f"{path} is of another version ({version}); train the run again")
    if content["script"] != script:
        raise UserError(
            f"{folder} is a run of training/{content['script']}.py; give one of {script}.py"
        )
    return content


def _check_config(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
    different = [
        key
        for key in new
        if key not in FREE_OPTIONS and json.dumps(new[key]) != json.dumps(old.get(key))
    ]
    if different:
        names = ", ".join(f"--{key.replace('_', '-')}" for key in different)
        raise UserError(
            f"{folder} was trained with another {names}; resume it with the options in "
            f"{folder / CONFIG}"
        )


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:  # the disk is full, mostly
        raise UserError(
            f"{path} cannot be written ({error}); the file before it stays, so make room and "
            "resume the run"
        ) from error


def _tensors(value: Any) -> Any:
    """Return a snapshot with arrays as tensors, which load without running code."""
    if isinstance(value, dict):
        return {key: _tensors(item) for key, item in value.items()}
    return torch.from_numpy(_signed(value)) if isinstance(value, np.ndarray) else value


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    return value.numpy() if isinstance(value, torch.Tensor) else value


def _signed(array: Any) -> Any:
    """Return unsigned integers as signed ones of the same bits, which every torch can save."""
    return array.view(np.int64) if array.dtype == np.uint64 else array
