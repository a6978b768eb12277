"""One run of a study: train by the script, score by the fixed test, return what came out.

Both are processes of their own, started as a person would start them. A run that was interrupted
goes on from its checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snn_training.common import Budget, git_hash
from snn_training.studies.catalogue import Setting
from snn_training.studies.results import (
    FORMAT,
    Result,
    read_curve,
    read_result,
    rounded,
    write_result,
)

QUIET = (  # no logs, pictures and scores that a study does not need
    *("--reporting.no-tensorboard", "--reporting.no-pictures"),
    *("--reporting.batched", "0", "--reporting.pybullet", "0"),
)
CHECKPOINT, CONFIG, LOG, POLICY = "checkpoint.pt", "config.json", "progress.csv", "policy.onnx"
OUTPUT, EVALUATION, RESULT = "output.txt", "test.json", "result.json"
CELLS = ("standard", "hard", "robust")
TEST_SEED = 0
PLACES = ("name", "folder", "resume")  # options that only say where a run was
ERROR_LINES, ERROR_CHARACTERS = 8, 2000
STOP_SECONDS = 30.0  # that an interrupted script has to save what it has
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Job:
    """What is to be run."""

    study: str
    setting: Setting
    seed: int
    budget: Budget
    episodes: int  # of each cell of the test
    folder: Path  # of the study's run folders
    scripts: Path | None = None  # where training scripts are; None: beside this file

    @property
    def name(self) -> str:
        """Name of the run and of its folder."""
        return f"{self.setting.label}-{self.seed}"

    @property
    def place(self) -> Path:
        """The run's folder."""
        return self.folder / self.name

    def script(self, name: str) -> str:
        """Return the path of a script on the machine that asks."""
        return str((self.scripts or Path(__file__).parents[2]) / f"{name}.py")


@dataclass(frozen=True)
class Cost:
    """What a process cost."""

    exit_code: int
    seconds: float  # by the clock on the wall
    processor_seconds: float
    peak_memory_mb: float  # or what we ourselves use, if that is more: so the kernel counts


def describe(job: Job) -> Result:
    """Return what identifies a run in its result."""
    return {
        "format": FORMAT,
        "study": job.study,
        "setting": job.setting.label,
        "seed": job.seed,
        "script": job.setting.script,
        "options": list(job.setting.options_of(job.budget)),
        "budget": job.budget,
        "test": {"cells": list(CELLS), "episodes": job.episodes, "seed": TEST_SEED},
    }


def training_command(job: Job, *, resume: bool = False) -> list[str]:
    """Return the command that trains the run."""
    return [
        sys.executable,
        job.script(job.setting.script),
        *("--folder", str(job.folder), "--name", job.name),
        *("--seed", str(job.seed), "--budget", job.budget),
        *QUIET,
        *(("--resume",) if resume else ()),
        *job.setting.options_of(job.budget),
    ]


def evaluation_command(job: Job) -> list[str]:
    """Return the command that scores the run's policy by the fixed test on the batched twin."""
    return [
        sys.executable,
        job.script("evaluate"),
        *("--policy", str(job.place / POLICY), "--sim", "batched", "--cells", *CELLS),
        *("--episodes", str(job.episodes), "--seed", str(TEST_SEED), "--split", "test"),
        *("--json", str(job.place / EVALUATION)),
    ]


def execute(job: Job) -> Result:
    """Train and score; a failure is a result too.

    The result also stays in the run's folder, so it is not lost if nobody waits for it any more.
    """
    finished = read_result(job.place / RESULT)
    if finished is not None and describe(job).items() <= finished.items():
        return finished
    job.place.mkdir(parents=True, exist_ok=True)
    resume = (job.place / CHECKPOINT).exists()
    cost = run_process(training_command(job, resume=resume), job.place / OUTPUT)
    if cost.exit_code == 0 and (job.place / POLICY).is_file():
        test = run_process(evaluation_command(job), job.place / OUTPUT)
        if test.exit_code == 0:
            result = describe(job) | _outcome(job, cost, resumed=resume)
            write_result(job.place / RESULT, result)
            (job.place / CHECKPOINT).unlink(missing_ok=True)  # up to 100 MB each
            return result
    return failure(job, last_lines(job.place / OUTPUT), cost=cost)


def failure(job: Job, error: str, *, cost: Cost | None = None) -> Result:
    """Return the result of a run that failed."""
    more = {"git": git_hash(), **({"seconds": round(cost.seconds, 1)} if cost else {})}
    return describe(job) | {"status": "failed", "error": without_places(error, job)} | more


def run_process(command: Sequence[str], output: Path) -> Cost:
    """Run a command on one thread, its output appended to a file.

    However the waiting ends, the process does not outlive it: it is asked to stop and, after a
    while, made to.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    quiet = {"TQDM_MININTERVAL": "10"}
    began = time.monotonic()
    with output.open("ab") as file, _interruptible():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **threads, **quiet},
            start_new_session=True,  # Ctrl-C in the terminal comes through us, once
        )
    try:
        return _wait(process, began)
    except BaseException:
        _stop(process)
        raise


def last_lines(path: Path) -> str:
    """Return the last lines of a process's output, without progress bars."""
    text = path.read_text(errors="replace").replace("\r", "\n")
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and "%|" not in line]
    return "\n".join(lines[-ERROR_LINES:])[-ERROR_CHARACTERS:]


def without_places(text: str, job: Job) -> str:
    """Return text without this machine's paths: results are shared."""
    for place in (str(job.folder), str(Path(__file__).parents[3]), sys.prefix):
        text = text.replace(f"{place}/", "").replace(place, ".")
    return text


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let processes started here be interrupted: a worker of Ray blocks that, and they inherit."""
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(process: subprocess.Popen[bytes], began: float) -> Cost:
    while True:
        found, status, usage = os.wait4(process.pid, os.WNOHANG)
        if found:
            break
        time.sleep(POLL_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    return Cost(
        process.returncode,
        time.monotonic() - began,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / unit,
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _outcome(job: Job, cost: Cost, *, resumed: bool) -> dict[str, Any]:
    """Return what a run that worked adds to its description.

    Time and memory of a resumed run are those of its last part.
    """
    story = json.loads((job.place / CONFIG).read_text())
    evaluation = json.loads((job.place / EVALUATION).read_text())
    return {
        "status": "done",
        "resumed": resumed,
        "seconds": round(cost.seconds, 1),
        "processor_seconds": round(cost.processor_seconds, 1),
        "peak_memory_mb": round(cost.peak_memory_mb),
        "git": story.get("git", "unknown"),
        "torch": story.get("torch", "unknown"),
        "config": {k: x for k, x in story.get("config", {}).items() if k not in PLACES},
        "curve": read_curve(job.place / LOG),
        "evaluation": rounded(evaluation["cells"]),
    }
