"""The runner: one run a folder at a time, old checkpoints, what it says where it cannot go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_training.algorithms.runner import Kept, RunOptions, Training, run_training
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.runs.folder import LOCK, Row, lock_run
from support.finished_runs import rows_of, save_old_network
from support.places import ROOT
from support.sample_artifacts import untrained, write_artifact

QUIET = ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0)


@dataclass
class Options(RunOptions):
    """Of the smallest run."""

    name: str = "run"
    threads: int = 1
    reporting: ReportingConfig = field(default_factory=lambda: QUIET)


class Walker(Kept):
    """Learns nothing: its weight walks at random."""

    kept = ("actor", "steps")

    def __init__(self) -> None:
        self.actor, self.steps = torch.nn.Linear(1, 1, bias=False), 0
        torch.nn.init.zeros_(self.actor.weight)


class Counter:
    """A part of the checkpoint that holds an array."""

    def __init__(self) -> None:
        self.counts = np.zeros(2, np.uint64)

    def snapshot(self) -> dict[str, Any]:
        return {"counts": self.counts}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.counts = np.array(snapshot["counts"]).view(np.uint64)


class Walk(Training[Walker]):
    """The smallest training."""

    script = "walk"
    panels = {"return_end": "return"}  # noqa: RUF012

    def __init__(self, seed: int = 0, stop: int = -1) -> None:
        self.counter, self.stop = Counter(), stop
        super().__init__(Walker(), np.random.default_rng(seed), {"collector": self.counter})

    def step(self, progress: float) -> tuple[float]:
        if self.learner.steps == self.stop:
            raise KeyboardInterrupt
        self.learner.steps += 1
        self.counter.counts += 1
        with torch.no_grad():
            self.learner.actor.weight.add_(float(self.rng.normal()))
        return (progress,)

    def summary(self, losses: Sequence[Sequence[float]]) -> Row:
        value = self.learner.actor.weight.item()
        return {"interval": len(self.rows) + 1, "return_end": value, "steps": self.learner.steps}

    def export(self, path: Path, provenance: dict[str, Any]) -> None:
        write_artifact(path)


def walk(folder: Path, *, resume: bool = False, stop: int = -1, iterations: int = 4) -> bool:
    args = Options(folder=folder, resume=resume)
    return run_training(args, lambda: Walk(stop=stop), iterations=iterations, steps=5)


def content_of(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "run" / "checkpoint.pt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0, 3, 12])
def test_a_stopped_run_goes_on_as_if_unbroken(tmp_path: Path, stop: int) -> None:
    assert walk(tmp_path / "whole")
    assert not walk(tmp_path / "broken", stop=stop)
    assert walk(tmp_path / "broken", resume=True)
    whole, broken = content_of(tmp_path / "whole"), content_of(tmp_path / "broken")
    assert torch.equal(whole["learner"]["actor"]["weight"], broken["learner"]["actor"]["weight"])
    assert torch.equal(whole["best"]["weight"], broken["best"]["weight"])
    assert whole["generator"] == broken["generator"]
    assert broken["collector"]["counts"].tolist() == [20, 20]
    assert rows_of(tmp_path / "whole" / "run") == rows_of(tmp_path / "broken" / "run")


def test_the_best_iteration_is_kept(tmp_path: Path) -> None:
    walk(tmp_path)
    best = max(float(row["return_end"]) for row in rows_of(tmp_path / "run"))
    assert content_of(tmp_path)["best"]["weight"].item() == pytest.approx(best)


def test_nothing_is_left_of_a_run_that_could_not_begin(tmp_path: Path) -> None:
    def refuse() -> Walk:
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        run_training(Options(folder=tmp_path / "runs"), refuse, iterations=1, steps=1)
    assert not list(tmp_path.iterdir())


def test_a_run_in_use_is_refused_and_says_by_whom(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    walk(tmp_path)
    with lock_run(folder, resume=True):
        for resume in (False, True):
            with pytest.raises(UserError, match=f"by process {os.getpid()}; wait for it") as caught:
                walk(tmp_path, resume=resume)
            assert "\n" not in str(caught.value)
    assert not (folder / LOCK).exists()
    assert walk(tmp_path, resume=True, iterations=5)


def test_the_lock_of_a_killed_process_blocks_nobody(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import time
from snn_training.runs.folder import lock_run
with lock_run(Path({str(tmp_path / "run")!r}), resume=False):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"by process {other.pid};"):
            walk(tmp_path)
        other.kill()
        other.wait()
    assert (tmp_path / "run" / LOCK).exists()
    assert walk(tmp_path)
    assert not (tmp_path / "run" / LOCK).exists()


@pytest.mark.slow
def test_two_trainings_of_one_name_leave_one_run(tmp_path: Path) -> None:
    options = [
        "--name",
        "same",
        "--rounds",
        "1",
        "--drones",
        "2",
        "--flights",
        "1",
        "--updates",
        "100000",
        "--batch",
        "2",
        "--episodes.ticks",
        "100",
        "--network.hidden",
        "8",
        "--reporting.batched",
        "0",
        "--reporting.pybullet",
        "0",
        "--reporting.no-pictures",
        "--reporting.no-tensorboard",
    ]
    command = [sys.executable, str(ROOT / "training" / "bc.py"), "--folder", str(tmp_path)]
    with subprocess.Popen([*command, *options, "--seed", "1"], stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 120.0
        while not (tmp_path / "same" / "checkpoint.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        for more in ([], ["--resume"]):
            second = subprocess.run(
                [*command, *options, "--seed", "2", *more], capture_output=True, text=True
            )
            assert second.returncode == 2
            assert second.stderr.startswith("error: ") and second.stderr.count("\n") == 1
            assert f"already holds a run that is being trained by process {first.pid}" in (
                second.stderr
            )
        first.send_signal(signal.SIGKILL)
    assert json.loads((tmp_path / "same" / "config.json").read_text())["seed"] == 1
    content = torch.load(tmp_path / "same" / "checkpoint.pt", weights_only=True)
    assert json.loads(content["provenance"])["seed"] == 1


def test_a_run_of_the_old_bc_is_refused_and_can_be_exported(tmp_path: Path) -> None:
    save_old_network(tmp_path / "run", untrained())
    with pytest.raises(UserError, match=r"training/export\.py --run .*run, or train it anew"):
        walk(tmp_path, resume=True)


@pytest.mark.slow
def test_a_checkpoint_of_the_five_old_runners_goes_on(tmp_path: Path) -> None:
    assert walk(tmp_path / "whole")
    assert not walk(tmp_path / "old", stop=7)
    content = content_of(tmp_path / "old")
    assert content["format"] == 2
    # as they wrote it: a replay also where there is none, the parts in another order
    order = ("format", "script", "learner", "best", "replay", "collector", "generator", "rows")
    old = {key: content.get(key, {}) for key in (*order, "provenance")}
    torch.save(old, tmp_path / "old" / "run" / "checkpoint.pt")
    assert walk(tmp_path / "old", resume=True)
    assert rows_of(tmp_path / "whole" / "run") == rows_of(tmp_path / "old" / "run")


def test_a_checkpoint_that_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    walk(tmp_path, iterations=1)
    content = content_of(tmp_path)
    del content["learner"]["steps"]
    torch.save(content, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(
        UserError, match=r"does not fit this release .*steps.* train anew"
    ) as caught:
        walk(tmp_path, resume=True)
    assert "\n" not in str(caught.value)
