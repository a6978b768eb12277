"""Run a study: seeds x settings, side by side on Ray, one JSON file a run; then its table.

Runs that have a result are left alone, so the same command goes on with an interrupted study. Ray
takes this machine's cores, or those of a cluster that is running already.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import tyro
from tqdm import tqdm

from snn_controller.errors import UserError
from snn_training.common import Budget
from snn_training.studies.catalogue import choose_settings, find_study
from snn_training.studies.results import (
    SAME,
    Result,
    check_same,
    read_result,
    result_path,
    write_result,
)
from snn_training.studies.run import (
    CHECKPOINT,
    Job,
    describe,
    execute,
    failure,
    training_command,
)
from snn_training.studies.table import write_table

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # as nice as we are; Ray's 15 starves beside any other program
}
LOCAL_STORE = 80 * 2**20  # bytes for Ray's shared memory; results are small
STOP_SECONDS = 45.0
KNOCK_SECONDS = 5.0


class RayPool:
    """A function on one core each, for as many jobs at once as there are workers."""

    def __init__(
        self, function: Callable[[Job], Any], *, workers: int | None, address: str | None
    ) -> None:
        """Start Ray here, or join the cluster at an address.

        Args:
            function: What a worker does with a job; of a module that every node can import.
            workers: Jobs at once; None takes every core there is.
            address: Address of a running cluster, `auto` for the one of this machine.

        Raises:
            UserError: Ray is not installed or the cluster does not answer.
        """
        self._ray = _import_ray()
        _connect(self._ray, workers, address)
        self.size = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._remote = self._ray.remote(num_cpus=1, max_retries=0)(function)
        self._running: dict[Any, Job] = {}

    @property
    def running(self) -> list[Job]:
        """Jobs that have been started and not yet been returned."""
        return list(self._running.values())

    def start(self, job: Job) -> None:
        """Hand a job to a worker."""
        self._running[self._remote.remote(job)] = job

    def finished(self, timeout: float) -> list[tuple[Job, Any]]:
        """Return jobs that ended within some seconds, each with its result or its exception."""
        if not self._running:
            return []
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        return [(self._running.pop(reference), self._get(reference)) for reference in done]

    def stop(self) -> None:
        """Interrupt what is running and wait until it has cleaned up."""
        for reference in self._running:
            self._ray.cancel(reference)
        if self._running:
            references = list(self._running)
            self._ray.wait(references, num_returns=len(references), timeout=STOP_SECONDS)
        self._running.clear()

    def __enter__(self) -> RayPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._ray.shutdown()

    def _get(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except Exception as error:  # of the job, of its worker or of its node
            return error


def _import_ray() -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "studies run on Ray, which is not installed; install it with: pip install -e '.[sweep]'"
        ) from error
    return ray


def _connect(ray: Any, workers: int | None, address: str | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        local = {"include_dashboard": False, "object_store_memory": LOCAL_STORE}
        ray.init(address="local", num_cpus=workers, **local, **options)
        return
    try:
        _knock(address)
        ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise UserError(
            f"the Ray cluster at {address} cannot be joined ({reason}); start it with "
            "`ray start --head`, and set RAY_AUTH_MODE=token here if it wants a token"
        ) from error


def _knock(address: str) -> None:
    """Refuse an address where nobody listens; Ray itself would try for minutes.

    Raises:
        OSError: Nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


REFRESH_SECONDS = 1.0


@dataclass(frozen=True)
class Args:
    """Run a study of training/studies.py, or print its table."""

    study: tyro.conf.Positional[str]
    """Name of the study."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of the training runs."""
    settings: tuple[str, ...] = ()
    """Labels of the settings to run; all of the study if none is given."""
    budget: Budget = "study"
    """`study`: at most five minutes on one core a run; `full`: as the scripts do by themselves."""
    episodes: int = 1000
    """Test episodes a cell."""
    workers: int | None = None
    """Runs at once; all cores if not given."""
    address: str | None = None
    """Address of a running Ray cluster (`auto` finds the one of this machine); Ray starts here
    without it. Every node needs the project, installed from the same commit."""
    results: Path = Path("docs/results")
    """Where results are kept: RESULTS/BUDGET/STUDY/SETTING-SEED.json."""
    folder: Path = Path("runs/studies")
    """Where run folders go: FOLDER/BUDGET/STUDY/SETTING-SEED, on the machine of the run."""
    dry_run: bool = False
    """Only say what would be run."""
    table: bool = False
    """Write RESULTS/BUDGET/STUDY.md and .png from the results there are, and print the table."""


class Pool(Protocol):
    """What runs jobs; see RayPool."""

    size: int

    @property
    def running(self) -> list[Job]:
        """Jobs that have been started and not yet been returned."""
        ...

    def start(self, job: Job) -> None:
        """Start a job."""

    def finished(self, timeout: float) -> list[tuple[Job, Any]]:
        """Return jobs that ended, each with its result or its exception."""
        ...


def main(args: Args) -> None:
    """Do what the arguments say."""
    jobs = plan(args)
    folder = args.results / args.budget / args.study
    if args.table:
        sys.stdout.write(write_table(args.study, folder))
        return
    waiting = [job for job in jobs if not is_done(job, folder)]
    if args.dry_run:
        sys.stdout.write(preview(jobs, waiting))
        return
    waiting = [job for job in waiting if not take_over(job, folder)]
    if not waiting:
        sys.stdout.write(f"all {len(jobs)} runs have results in {folder}\n")
        return
    pool: AbstractContextManager[Any] = RayPool(execute, workers=args.workers, address=args.address)
    try:
        with pool as workers:
            failed = run_jobs(waiting, workers, folder)
    except KeyboardInterrupt:
        sys.stderr.write("results so far are kept; the same command goes on\n")
        raise
    report(failed, args, folder)


def plan(args: Args) -> list[Job]:
    """Return the jobs of a study, seed by seed, so that an unfinished study is a fair one.

    Raises:
        UserError: There is no such study or setting, or a number is impossible.
    """
    if not args.seeds or min(args.seeds) < 0:
        raise UserError("--seeds must be one or more numbers from 0")
    if args.episodes < 1 or (args.workers is not None and args.workers < 1):
        raise UserError("--episodes and --workers must be at least 1")
    settings = choose_settings(find_study(args.study), args.settings)
    folder = (args.folder / args.budget / args.study).resolve()
    return [
        Job(args.study, setting, seed, args.budget, args.episodes, folder)
        for seed in dict.fromkeys(args.seeds)
        for setting in settings
    ]


def is_done(job: Job, folder: Path) -> bool:
    """Return whether a run has a result already; one that failed is tried again.

    Raises:
        UserError: The result is that of other options.
    """
    path = result_path(folder, job.setting.label, job.seed)
    result = read_result(path)
    if result is None or result["status"] == "failed":
        return False
    check_same(path, result, describe(job))
    return True


def take_over(job: Job, folder: Path) -> bool:
    """Keep the result of the very same run of another study, and return whether there is one."""
    wanted = describe(job)
    for path in sorted(folder.parent.glob(f"*/*-{job.seed}.json")):
        result = read_result(path)
        alike = result is not None and all(result[key] == wanted[key] for key in (*SAME, "seed"))
        if result is not None and alike and result["status"] == "done":
            origin = {"taken_from": result["study"]}
            write_result(
                result_path(folder, job.setting.label, job.seed), {**result, **wanted, **origin}
            )
            return True
    return False


def run_jobs(jobs: Sequence[Job], pool: Pool, folder: Path) -> list[Job]:
    """Run jobs, keep each result as it comes, and return the jobs that failed.

    Raises:
        KeyboardInterrupt: Somebody wants it to end; results so far are kept.
    """
    waiting, failed = deque(jobs), []
    with tqdm(total=len(jobs), unit="run", smoothing=0.0) as progress:
        while waiting or pool.running:
            while waiting and len(pool.running) < pool.size:
                pool.start(waiting.popleft())
            names = ", ".join(job.name for job in pool.running)
            progress.set_description(names, refresh=sys.stderr.isatty())
            for job, outcome in pool.finished(REFRESH_SECONDS):
                result = as_result(job, outcome)
                write_result(result_path(folder, job.setting.label, job.seed), result)
                tqdm.write(headline(job, result))
                failed += [job] if result["status"] == "failed" else []
                progress.update()
    return failed


def as_result(job: Job, outcome: Result | BaseException) -> Result:
    """Return the result of a job, also where it ended with an exception."""
    if isinstance(outcome, BaseException):
        lines = str(outcome).strip().splitlines() or [type(outcome).__name__]
        return failure(job, "\n".join(lines[-8:])[-2000:])
    return outcome


def headline(job: Job, result: Result) -> str:
    """Return one line about a run that ended."""
    if result["status"] == "failed":
        return f"{job.name}: failed: {(result['error'].splitlines() or ['no output'])[-1]}"
    scores = result["evaluation"]["standard"]
    return (
        f"{job.name}: return {scores['return_end']['mean']:.1f}, "
        f"survival {scores['survival']['mean']:.3f}, {result['seconds'] / 60:.1f} min"
    )


def preview(jobs: Sequence[Job], waiting: Iterable[Job]) -> str:
    """Return what would be done with each job."""
    lines, open_jobs = [], list(waiting)
    for job in jobs:
        resume = (job.place / CHECKPOINT).exists()
        command = " ".join(training_command(job, resume=resume))
        lines.append(command if job in open_jobs else f"# done: {job.name}")
    return "\n".join(lines) + "\n"


def report(failed: Sequence[Job], args: Args, folder: Path) -> None:
    """Say how the study ended.

    Raises:
        UserError: Some runs failed.
    """
    if failed:
        names = ", ".join(job.name for job in failed)
        raise UserError(
            f"{len(failed)} runs failed ({names}); the reasons are in {folder}, "
            "and the same command tries them again"
        )
    sys.stdout.write(f"results in {folder}; see them by: {table_command(args)}\n")


def table_command(args: Args) -> str:
    """Return the command that writes the study's table."""
    budget = "" if args.budget == "study" else f" --budget {args.budget}"
    return f"python training/sweep.py {args.study}{budget} --table"
