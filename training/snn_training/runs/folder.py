"""A training run on disk: its lock, configuration, checkpoint, log and learning curve.

The checkpoint holds everything that the rest of the run depends on: networks, optimisers, all
generators, the replay, the drones in mid-flight and the log. It is replaced in one piece at the end
of an iteration, so a killed run loses less than one, and goes on as if nothing had happened.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from snn_controller.errors import UserError
from snn_controller.report.plots import write_picture
from snn_controller.system import write_atomically
from snn_training.common import git_hash
from snn_training.networks import ActorOfGuide, Network, NetworkConfig, make_actor, make_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure


CHECKPOINT, CONFIG, LOG, CURVE, POLICY, LOCK = (
    "checkpoint.pt",
    "config.json",
    "progress.csv",
    "learning_curve.png",
    "policy.onnx",
    ".lock",
)
FORMAT = 2
FREE_OPTIONS = ("folder", "name", "resume", "reporting")  # may differ when a run is resumed
NOT_OURS = ("td3", "decision_transformer")  # scripts whose actor is no `Network`

Row = dict[str, Any]  # of the log: column -> value
State = dict[str, Any]  # what a checkpoint keeps of an algorithm: nested dicts of arrays, tensors


@dataclass
class Run:
    """What every run has: a folder, a log, where it comes from, and its policy's weights."""

    script: str  # that trains it
    folder: Path
    rows: list[Row] = field(default_factory=list)  # the log, one row an iteration
    provenance: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)  # weights of the actor in policy.onnx


@contextmanager
def lock_run(folder: Path, *, resume: bool) -> Iterator[None]:
    """Hold a run's folder, so that no other process trains in it; the kernel frees it at the end.

    A folder that nothing was written into is removed again.

    Raises:
        UserError: Another process holds it; or a new run's folder is taken, or an old one's empty.
    """
    if resume and not (folder / CHECKPOINT).is_file():
        raise UserError(f"{folder} holds no {CHECKPOINT}; start the run without --resume")
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _acquire(folder / LOCK)
    except OSError as error:
        raise UserError(f"{folder} cannot be used ({error}); choose another --folder") from error
    try:
        if not resume and (folder / CHECKPOINT).exists():
            raise UserError(
                f"{folder} already holds a run; choose another --name, remove it, or go on with "
                "--resume"
            )
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # while it is held, so nobody else loses theirs
        os.close(handle)
        for place in made:
            with suppress(OSError):  # it is in use
                place.rmdir()


def _acquire(path: Path) -> int:
    """Return the descriptor of a lock file that this process holds."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 32).decode().strip()
            trainer = f"process {holder}" if holder else "another process"
            os.close(handle)
            if not isinstance(error, BlockingIOError):
                raise
            raise UserError(
                f"{path.parent} already holds a run that is being trained by {trainer}; "
                "wait for it, stop it, or choose another --name"
            ) from None
        with suppress(FileNotFoundError):  # its owner has just removed it
            if os.path.samestat(os.fstat(handle), path.stat()):
                os.truncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
                return handle
        os.close(handle)


def create_run(script: str, folder: Path, config: Mapping[str, Any], *, seed: int) -> Run:
    """Save the configuration of a new run and return the run at its beginning.

    Raises:
        UserError: It cannot be written.
    """
    provenance = {
        "command": " ".join(["python", *sys.argv]),
        "config": _plain(config),
        "seed": seed,
        "git": git_hash(),
        "torch": torch.__version__,
    }
    _write(folder / CONFIG, (json.dumps(provenance, indent=2) + "\n").encode())
    (folder / LOG).unlink(missing_ok=True)
    return Run(script, folder, provenance=provenance)


def resume_run(script: str, folder: Path, config: Mapping[str, Any]) -> tuple[Run, State]:
    """Return a run where it stands, and what its algorithm kept.

    Raises:
        UserError: There is nothing usable to resume, or it was trained otherwise.
    """
    content = _load(folder, script)
    provenance = json.loads(content["provenance"])
    _check_config(provenance["config"], _plain(config), folder)
    run = Run(script, folder, json.loads(content["rows"]), provenance, content["best"])
    return run, content


def save_run(run: Run, state: Mapping[str, Any]) -> None:
    """Save the checkpoint; the old one stays until the new one is complete.

    Raises:
        UserError: It cannot be written.
    """
    content = {
        "format": FORMAT,
        "script": run.script,
        "best": run.best,
        "rows": json.dumps(run.rows),
        "provenance": json.dumps(run.provenance),
        **tensors(dict(state)),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    _write(run.folder / CHECKPOINT, buffer.getvalue())


def log_row(run: Run, row: Row) -> None:
    """Add a row to the log and write the log anew, so that a resumed run repeats no row."""
    run.rows.append(row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(row))
    writer.writeheader()
    writer.writerows(run.rows)
    _write(run.folder / LOG, text.getvalue().encode())


def plot_log(run: Run, columns: Mapping[str, str]) -> None:
    """Draw columns (name -> axis label) of the log over its first column, one panel each."""
    x = next(iter(run.rows[0]))

    def fill(figure: Figure) -> None:
        panels = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
        for panel, (name, label) in zip(panels, columns.items(), strict=True):
            points = [(float(row[x]), float(row[name])) for row in run.rows if row[name] != ""]
            panel.plot(*zip(*points, strict=True) if points else ([], []), marker=".", markersize=3)
            panel.set_ylabel(label)
        panels[-1].set_xlabel(x)
        figure.set_layout_engine("constrained")

    write_picture(run.folder / CURVE, fill, size=(7.0, 1.8 * len(columns)), resolution=120)


def load_best(folder: Path, script: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights of the actor in a run's policy file, and the run's provenance.

    Raises:
        UserError: There is no usable checkpoint of that script, or no iteration is complete yet.
    """
    return _best(_load(folder, script), folder)


def load_guide(folder: Path) -> ActorOfGuide:
    """Return the actor of the iteration of a run of td3.py that validated best.

    Raises:
        UserError: There is no usable checkpoint, or no iteration is complete yet.
    """
    weights, provenance = load_best(folder, "td3")
    learner = provenance["config"]["learner"]
    kind, steps = learner.get("actor", "perceptron"), learner.get("actor_steps", 1)
    actor = make_actor(kind, tuple(learner["actor_hidden"]), steps, torch.Generator())
    actor.load_state_dict(weights)
    return actor


def load_actor(folder: Path) -> tuple[Network, dict[str, Any]]:
    """Return the network in a run's policy file, and the run's provenance.

    Raises:
        UserError: There is no usable checkpoint, or its actor is no such network.
    """
    content = _read(folder)
    if _is_bare(content):
        shape, weights = content["network"], content["weights"]
        provenance = json.loads(content["provenance"])
    else:
        _check_format(content, folder)
        if content["script"] in NOT_OURS:
            raise UserError(
                f"{folder} is a run of training/{content['script']}.py, whose {POLICY} is its "
                "export; give a run of another script"
            )
        weights, provenance = _best(content, folder)
        shape = provenance["config"]["network"]
    network = make_network(NetworkConfig(**{**shape, "hidden": tuple(shape["hidden"])}))
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise _unusable(folder, error) from error
    return network, provenance


def _best(content: State, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    if not content["best"]:
        raise UserError(f"{folder} has no complete interval yet; train it on with --resume")
    return content["best"], json.loads(content["provenance"])


def _load(folder: Path, script: str) -> State:
    content = _read(folder)
    if _is_bare(content):
        raise UserError(
            f"{folder} is a run of a bc.py that could not be resumed; export its policy with "
            f"training/export.py --run {folder}, or train it anew under another --name"
        )
    _check_format(content, folder)
    if content["script"] != script:
        raise UserError(
            f"{folder} is a run of training/{content['script']}.py; give one of {script}.py"
        )
    return content


def _read(folder: Path) -> State:
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(f"{folder} holds no {CHECKPOINT}; give the folder of a training run")
    try:
        content = dict(torch.load(path, weights_only=True))
    except Exception as error:  # torch and pickle raise many types for a damaged file
        raise _unusable(folder, error) from error
    return content


def _unusable(folder: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(f"{folder / CHECKPOINT} cannot be used ({reason}); train the run again")


def _is_bare(content: Mapping[str, Any]) -> bool:
    """Whether a checkpoint holds a network alone, as those of bc.py once did."""
    return "format" not in content and "weights" in content


def _check_format(content: Mapping[str, Any], folder: Path) -> None:
    if content.get("format") != FORMAT:
        raise UserError(
            f"{folder / CHECKPOINT} is of another version ({content.get('format')}); train the "
            "run again"
        )


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


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as JSON gives it back."""
    return json.loads(json.dumps(config, default=str))


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:  # the disk is full, mostly
        raise UserError(
            f"{path} cannot be written ({error}); the file before it stays, so make room and "
            "resume the run"
        ) from error


def tensors(value: Any) -> Any:
    """Return nested dicts with arrays as tensors, which load without running code."""
    if isinstance(value, dict):
        return {key: tensors(item) for key, item in value.items()}
    if not isinstance(value, np.ndarray):
        return value
    # unsigned integers as signed ones of the same bits, which every torch can save
    return torch.from_numpy(value.view(np.int64) if value.dtype == np.uint64 else value)


def arrays(value: Any) -> Any:
    """Return nested dicts with tensors as arrays."""
    if isinstance(value, dict):
        return {key: arrays(item) for key, item in value.items()}
    return value.numpy() if isinstance(value, torch.Tensor) else value
