"""Spreading jobs over processes behind a progress bar."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    work: Callable[[Job], Result], jobs: Sequence[Job], *, workers: int, size: Callable[[Job], int]
) -> Iterator[tuple[Job, Result]]:
    """Yield each job with its result, in any order.

    Args:
        work: A function of a module, so that other processes find it.
        jobs: What to do; picklable.
        workers: Processes; 1 works in this one.
        size: Episodes of a job, for the progress bar.
    """
    from tqdm import tqdm

    with tqdm(total=sum(map(size, jobs)), unit="episode") as progress:
        for job, result in _here(work, jobs) if workers == 1 else _spread(work, jobs, workers):
            progress.update(size(job))
            yield job, result


def _here(work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[tuple[Job, Result]]:
    for job in jobs:
        yield job, work(job)


def _spread(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    # spawned, because a forked copy of a physics world or an ONNX session is not safe to use
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        submitted: dict[Future[Result], Job] = {executor.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(submitted):
                yield submitted[future], future.result()
        finally:
            executor.shutdown(cancel_futures=True)
