"""The one training runner: iterations, validation, checkpoint, resume, best policy, Ctrl-C.

An algorithm is a `Training`: it takes steps, says how an iteration went and exports its policy. All
else that a run needs is here, the same for every script:

    def main(args: Args) -> bool:
        check_bounds(args)
        return run_training(args, lambda: MyTraining(args), iterations=10, steps=args.updates)
"""

from __future__ import annotations

import copy
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from snn_controller.errors import UserError
from snn_training.common import bounded, plain_name
from snn_training.evaluation import Reporter, ReportingConfig
from snn_training.neurons import SlopeConfig, slope_after
from snn_training.rollouts import VALIDATION_SEED
from snn_training.runs import (
    CHECKPOINT,
    POLICY,
    Row,
    Run,
    State,
    arrays,
    create_run,
    lock_run,
    log_row,
    plot_log,
    resume_run,
    save_run,
)


@dataclass
class RunOptions:
    """What every training script can be told of its run."""

    name: str = plain_name("run")
    """Name of the run; its folder is runs/NAME."""
    folder: Path = Path("runs")
    """Where run folders go."""
    resume: bool = False
    """Go on with the run of that name from its last checkpoint; all else must be as it was."""
    seed: int = bounded(0, 0, below=VALIDATION_SEED)
    """Seed of all randomness; the same seed gives the same policy, bit by bit."""


class Options(Protocol):
    """The options that the runner reads, of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: str
    folder: Path
    resume: bool
    seed: int
    threads: int
    reporting: ReportingConfig


class Stateful(Protocol):
    """What a checkpoint keeps."""

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes."""
        ...

    def restore(self, snapshot: Mapping[str, Any], /) -> None:
        """Go on from a snapshot."""
        ...


class Learner(Stateful, Protocol):
    """Networks and optimisers; its actor is the policy."""

    @property
    def actor(self) -> nn.Module:
        """The policy."""
        ...


LearnerT = TypeVar("LearnerT", bound=Learner)


class Kept:
    """A learner whose snapshot is that of the parts it names: networks, optimisers, counts."""

    kept: ClassVar[tuple[str, ...]]

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes, for a checkpoint."""
        return {name: _state_of(getattr(self, name)) for name in self.kept}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot of a learner of the same configuration."""
        for name in self.kept:
            part, state = getattr(self, name), snapshot[name]
            if isinstance(part, torch.Generator):
                part.set_state(state)
            elif hasattr(part, "load_state_dict"):
                part.load_state_dict(copy.deepcopy(state))  # an optimiser would share it
            else:
                setattr(self, name, state)


class Training(ABC, Generic[LearnerT]):
    """What an algorithm gives the runner, in a state that a checkpoint can keep."""

    script: ClassVar[str]  # its name without .py
    panels: ClassVar[Mapping[str, str]]  # column of the log -> label, for the learning curve
    unit: ClassVar[str] = "update"  # what a step is, for the progress bar
    keeps_best: ClassVar[bool] = True  # the policy of the best iteration, not of the last

    def __init__(
        self, learner: LearnerT, rng: np.random.Generator, parts: Mapping[str, Stateful]
    ) -> None:
        """Take what changes.

        Args:
            learner: Its snapshot holds tensors.
            rng: Source of randomness.
            parts: Name in the checkpoint -> replay, collector and the like, whose snapshots hold
                NumPy arrays.
        """
        self.learner, self.rng, self.parts = learner, rng, dict(parts)
        self.rows: list[Row] = []  # the log so far, one row an iteration
        self.notes: dict[str, Any] = {}  # what provenance says beside command and options

    def prepare(self) -> None:
        """Get ready to go on from where the run stands, which may be its beginning."""

    def begin(self, progress: float) -> None:
        """Get ready for an iteration at a progress of the run in [0, 1]."""

    @abstractmethod
    def step(self, progress: float) -> Sequence[float]:
        """Take one step at a progress of the run in [0, 1]; return what it measured."""

    @abstractmethod
    def summary(self, losses: Sequence[Sequence[float]]) -> Row:
        """Return the log's row of the iteration whose steps measured this, with its validation.

        The best iteration is the one with the highest `return_end`.
        """

    @abstractmethod
    def export(self, path: Path, provenance: dict[str, Any]) -> None:
        """Write the policy as it is now."""

    def close(self) -> None:
        """Let go of simulators."""

    def snapshot(self) -> State:
        """Return all that the rest of the run depends on."""
        parts = {name: part.snapshot() for name, part in self.parts.items()}
        state = json.dumps(self.rng.bit_generator.state)
        return {"learner": self.learner.snapshot(), **parts, "generator": state}

    def restore(self, state: State) -> None:
        """Go on from a snapshot of a training with the same options."""
        self.learner.restore(state["learner"])
        for name, part in self.parts.items():
            part.restore(arrays(state[name]))
        self.rng.bit_generator.state = json.loads(state["generator"])


def run_training(
    args: Options,
    make: Callable[[], Training],
    *,
    iterations: int,
    steps: int,
    config: Mapping[str, Any] | None = None,
) -> bool:
    """Train a run to its end, from its beginning or from where it was interrupted.

    Ctrl-C keeps the last checkpoint, from which --resume goes on.

    Args:
        args: Options of the run, a dataclass.
        make: Returns the training at its beginning.
        iterations: Parts of the run; each ends with a validation and a checkpoint.
        steps: Steps of an iteration.
        config: What the run is recorded with and must be resumed with, instead of `args`.

    Returns:
        Whether the run is whole.

    Raises:
        UserError: The run's folder is in use or cannot be used, or the loss is no longer finite.
    """
    torch.set_num_threads(args.threads)
    folder = args.folder / args.name
    with lock_run(folder, resume=args.resume):
        try:
            with closing(make()) as training:
                run = _open(args, training, folder, config or asdict(args))
                with Reporter(folder, args.reporting, done=len(run.rows)) as reporter:
                    training.prepare()
                    _iterate(run, training, reporter, iterations, steps)
                    tqdm.write(f"wrote {folder / POLICY}")
                    reporter.finish()
        except KeyboardInterrupt:
            if (folder / CHECKPOINT).exists():
                tqdm.write(f"stopped early; {folder / CHECKPOINT} holds the last whole interval")
                tqdm.write("go on with the same command and --resume")
            else:
                tqdm.write("stopped before the run began; start again with the same command")
            return False
    return True


def slope_of(training: Training, config: SlopeConfig, progress: float) -> float:
    """Return the surrogate slope of the next iteration, by the validations so far."""
    return slope_after(config, progress, [row["return_end"] for row in training.rows])


def rounded(scores: Mapping[str, float]) -> Row:
    """Return scores as the log shows them; one without a meaning is empty."""
    return {name: float(f"{x:.4g}") if np.isfinite(x) else "" for name, x in scores.items()}


def _state_of(part: Any) -> Any:
    if isinstance(part, torch.Generator):
        return part.get_state()
    return part.state_dict() if hasattr(part, "state_dict") else part


def _open(args: Options, training: Training, folder: Path, config: Mapping[str, Any]) -> Run:
    """Return a new run with its first checkpoint, or an old one where it stands."""
    if not args.resume:
        run = create_run(training.script, folder, config, seed=args.seed)
        training.rows = run.rows
        run.provenance |= training.notes
        save_run(run, training.snapshot())
        return run
    run, state = resume_run(training.script, folder, config)
    try:
        training.restore(state)
    except (UserError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{folder / CHECKPOINT} does not fit this release ({str(error).splitlines()[0]}); go "
            f"on with commit {run.provenance.get('git')}, or train anew under another --name"
        ) from error
    training.rows = run.rows
    run.provenance |= training.notes
    return run


def _iterate(run: Run, training: Training, reporter: Reporter, iterations: int, steps: int) -> None:
    """Train iteration by iteration, from where the run stands."""
    total, done = iterations * steps, len(run.rows) * steps
    with tqdm(total=total, initial=done, desc=run.script, unit=training.unit) as bar:
        for number in range(len(run.rows), iterations):
            began, losses = time.monotonic(), []
            training.begin(number / iterations)
            for step in range(number * steps, (number + 1) * steps):
                losses.append(training.step(step / total))
                bar.update()
            _check_finite(run, training.learner, losses)
            row = training.summary(losses)
            row.setdefault("seconds", round(time.monotonic() - began, 1))
            bar.set_postfix({k: row[k] for k in ("return_end", "survival", "loss") if k in row})
            _save(run, training, row)
            reporter.interval(row, len(run.rows))


def _check_finite(run: Run, learner: Learner, losses: Sequence[Any]) -> None:
    """Stop before anything is saved that is not finite."""
    networks = [part for part in vars(learner).values() if isinstance(part, nn.Module)]
    weights = (x for network in networks for x in network.parameters())
    if not (np.isfinite(losses).all() and all(bool(x.isfinite().all()) for x in weights)):
        raise UserError(
            f"the loss is no longer finite after {len(run.rows)} good intervals; the last "
            f"checkpoint in {run.folder} is good, so start again with smaller learning rates"
        )


def _save(run: Run, training: Training, row: Row) -> None:
    """Save policy, log, picture and, last, the checkpoint that makes the iteration count."""
    run.provenance |= training.notes
    validation = {"validation": dict(row)} if training.keeps_best else {}
    if not training.keeps_best or row["return_end"] >= _best_return(run):
        training.export(run.folder / POLICY, {**run.provenance, **validation})
        run.best = copy.deepcopy(training.learner.actor.state_dict())
    log_row(run, row)
    plot_log(run, training.panels)
    save_run(run, training.snapshot())


def _best_return(run: Run) -> float:
    return max((row["return_end"] for row in run.rows), default=-np.inf)
