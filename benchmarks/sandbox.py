"""Work on hostile files in a process of its own, which may crash, hang or run out of memory.

Time is processor time of that process: what other programs of the machine take does not count.
"""

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

PATIENCE = 60.0  # s of work after which a load counts as hung
STILLNESS = 60.0  # s by the clock without any work after which it counts as hung too
LOOK_PERIOD = 0.5  # s between looks at how a load goes on
ADDRESS_SPACE = 8 << 30  # bytes: beyond it, memory is refused before the machine suffers
Work = Callable[..., "Result"]  # imports what it needs itself: it runs in the child


@dataclass(frozen=True)
class Result:
    """What came of one file."""

    outcome: str  # loaded, refused, raised, many lines, crashed, hung
    text: str = ""  # the sentence that refused it, or what tells good results apart
    seconds: float = 0.0  # of processor time
    mib: float = 0.0  # peak of memory beyond what the process had before


class Sandbox:
    """A child process that does some work, replaced when it dies. A context manager."""

    def __init__(self, work: Work, folder: Path) -> None:
        """Let the child work in that folder."""
        self._work = work
        self._folder = folder
        self._context = multiprocessing.get_context("spawn")

    def __enter__(self) -> Sandbox:
        """Start the child."""
        self._start()
        return self

    def __exit__(self, *_: Any) -> None:
        """End the child."""
        self._end()

    def __call__(self, *arguments: str) -> Result:
        """Do the work with some arguments."""
        begun = self._work_time()
        self._connection.send(arguments)
        outcome = "hung"
        try:
            if self._await_answer(begun):
                return self._connection.recv()
        except EOFError:
            outcome = "crashed"
        spent = self._work_time() - begun
        self._end()
        text = f"exit code {self._process.exitcode}"
        self._start()
        return Result(outcome, text, spent)

    def _await_answer(self, begun: float) -> bool:
        """Wait for the child; say whether it has answered, or died, before it counted as hung."""
        worked, still_since = begun, time.monotonic()
        while not self._connection.poll(LOOK_PERIOD):
            now, work = time.monotonic(), self._work_time()
            if work > worked:
                worked, still_since = work, now
            if work - begun > PATIENCE or now - still_since > STILLNESS:
                return False
        return True

    def _work_time(self) -> float:
        """Return the processor time in s that the child has used, 0 once it is gone."""
        try:
            line = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return 0.0
        user, system = line.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

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
            result = attempt(work, *arguments)
        connection.send(replace(result, **cost))


@contextmanager
def _measured() -> Iterator[dict[str, float]]:
    """Fill in processor time in s and peak memory in MiB of what is done inside."""
    Path("/proc/self/clear_refs").write_text("5")  # begins the peak anew
    cost, before, begun = {}, _memory("VmRSS"), time.process_time()
    yield cost
    cost |= {"seconds": time.process_time() - begun, "mib": _memory("VmHWM") - before}


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def attempt(work: Work, path: str, *arguments: str) -> Result:
    """Do the work on a file; a `UserError` must be one line that names the file."""
    from snn_controller.errors import UserError

    try:
        return work(path, *arguments)
    except UserError as error:
        text = str(error)
        sentence = len(text) < 2000 and text.isprintable() and Path(path).name in text
        return Result("refused" if sentence else "no sentence", text[:2000])
    except BaseException as error:
        return Result(f"raised {type(error).__name__}", str(error)[:500])
