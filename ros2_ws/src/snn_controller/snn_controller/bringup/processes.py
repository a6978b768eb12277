"""A group of child processes that lives and dies together: output, signals, exit code."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from types import FrameType
from typing import IO

from snn_controller.report import fit

PROGRESS_MARK = "progress: "  # a node's log line with this mark is shown live, in place
POLL_PERIOD = 0.05  # s
# What a process that does not end is sent, and how long it may take: nobody outlives the group.
STOPPING = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 3.0))


@dataclass(frozen=True)
class _Child:
    name: str
    process: subprocess.Popen[str]
    required: bool
    readers: tuple[threading.Thread, ...]


class ProcessGroup:
    """Starts processes and waits until a required one ends; then ends the others.

    SIGINT and SIGTERM end the group in good order. Against SIGKILL the children watch their parent.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start processes with this environment from now on."""
        self._environment = dict(environment)
        self._children: list[_Child] = []
        self._signal: int | None = None
        self._output = _Output()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def start(self, name: str, command: Sequence[str], *, required: bool = False) -> None:
        """Start a process; the group ends with it if it is required."""
        process = subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # A Ctrl-C in the terminal reaches only us: we end the nodes in good order.
            start_new_session=True,
        )
        readers = (
            threading.Thread(target=self._output.copy, args=(process.stdout, sys.stdout, "")),
            threading.Thread(
                target=self._output.copy, args=(process.stderr, sys.stderr, f"[{name}] ")
            ),
        )
        for reader in readers:
            reader.start()
        self._children.append(_Child(name, process, required, readers))

    def wait(self) -> int:
        """Wait for the end; return the exit code of the required process that ended first.

        A signal counts as 128 plus its number; a required process that ends well but is not the
        last one started (whose end is the end of the job) counts as a failure.
        """
        try:
            ended = self._first_ended()
        finally:
            self._stop_all()
        if ended is None:
            return 128 + (self._signal or 0)
        code = ended.process.returncode
        last = [child for child in self._children if child.required][-1]
        return 1 if code < 0 or (code == 0 and ended is not last) else code

    def _first_ended(self) -> _Child | None:
        while self._signal is None:
            for child in self._children:
                if child.required and child.process.poll() is not None:
                    return child
            sleep(POLL_PERIOD)
        return None

    def _stop_all(self) -> None:
        for number, patience in STOPPING:
            running = [child for child in self._children if child.process.poll() is None]
            for child in running:
                child.process.send_signal(number)
            deadline = monotonic() + patience
            while monotonic() < deadline and any(c.process.poll() is None for c in running):
                sleep(POLL_PERIOD)
        for child in self._children:
            for reader in child.readers:
                reader.join(timeout=1.0)
        self._output.end_line()

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._signal = self._signal or number


class _Output:
    """Writes the lines of all processes, the progress line in place on a terminal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line_open = False

    def copy(self, source: IO[str], target: IO[str], prefix: str) -> None:
        """Copy a process's output line by line until it ends."""
        for line in source:
            self._write(line.rstrip("\n"), target, prefix)

    def end_line(self) -> None:
        """Leave the progress line standing and go on below it."""
        if self._line_open:
            print(flush=True)
            self._line_open = False

    def _write(self, line: str, target: IO[str], prefix: str) -> None:
        _, mark, progress = line.partition(PROGRESS_MARK)
        with self._lock:
            if mark and sys.stdout.isatty():
                shown = fit(progress, shutil.get_terminal_size().columns)
                print(f"\r\033[K{shown}", end="", flush=True)
                self._line_open = True
                return
            self.end_line()
            print(f"{mark}{progress}" if mark else f"{prefix}{line}", file=target, flush=True)
