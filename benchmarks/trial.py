"""Work on hostile files in a process of its own, which may crash, hang or run out of memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # s after which a load counts as hung
ADDRESS_SPACE = 8 << 30  # bytes: beyond it, memory is refused before the machine suffers
Work = Callable[..., "Verdict"]  # imports what it needs itself: it runs in the child


@dataclass(frozen=True)
class Verdict:
    """What came of one file."""

    outcome: str  # loaded, refused, raised, many lines, crashed, hung
    text: str = ""  # the sentence that refused it, or what tells good results apart
    seconds: float = 0.0
    mib: float = 0.0  # peak of memory beyond what the process had before


class Trial:
    """A child process that does some work, replaced when it dies. A context manager."""

    def __init__(self, work: Work, folder: Path) -> None:
        """Let the child work in that folder."""
        self._work = work
        self._folder = folder
        self._context = multiprocessing.get_context("spawn")

    def __enter__(self) -> Trial:
        """Start the child."""
        self._start()
        return self

    def __exit__(self, *_: Any) -> None:
        """End the child."""
        self._end()

    def __call__(self, *arguments: str) -> Verdict:
        """Do the work with some arguments."""
        begun = time.perf_counter()
        self._connection.send(arguments)
        outcome = "hung"
        try:
            if self._connection.poll(PATIENCE):
                return self._connection.recv()
        except EOFError:
            outcome = "crashed"
        self._end()
        text = f"exit code {self._process.exitcode}"
        self._start()
        return Verdict(outcome, text, time.perf_counter() - begun)

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        arguments = (theirs, self._work, self._folder)
        self._process = self._context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def _end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, work: Work, folder: Path) -> None:
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    while True:
        try:
            arguments = connection.recv()
        except EOFError:
            return
        with _measured() as cost:
            verdict = attempt(work, *arguments)
        connection.send(replace(verdict, **cost))


@contextmanager
def _measured() -> Iterator[dict[str, float]]:
    """Fill in time in s and peak memory in MiB of what is done inside."""
    Path("/proc/self/clear_refs").write_text("5")  # begins the peak anew
    cost, before, begun = {}, _memory("VmRSS"), time.perf_counter()
    yield cost
    cost |= {"seconds": time.perf_counter() - begun, "mib": _memory("VmHWM") - before}


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def attempt(work: Work, path: str, *arguments: str) -> Verdict:
    """Do the work on a file; a `UserError` must be one line that names the file."""
    from snn_controller.errors import UserError

    try:
        return work(path, *arguments)
    except UserError as error:
        text = str(error)
        sentence = len(text) < 2000 and text.isprintable() and Path(path).name in text
        return Verdict("refused" if sentence else "no sentence", text[:2000])
    except BaseException as error:
        return Verdict(f"raised {type(error).__name__}", str(error)[:500])
