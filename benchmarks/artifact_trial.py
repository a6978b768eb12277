"""Loads policy files in a process of its own, which may crash, hang or be out of memory."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # s after which a load counts as hung
ADDRESS_SPACE = 8 << 30  # bytes: beyond it, memory is refused before the machine suffers
PROBE_TICKS = 200


@dataclass(frozen=True)
class Verdict:
    """What came of one load."""

    outcome: str  # loaded, refused, raised, many lines, crashed, hung
    text: str = ""  # the sentence; where it was loaded, the hash of what it would fly
    seconds: float = 0.0
    mib: float = 0.0  # peak of memory beyond what the process had before


class Trial:
    """A child process that loads files, replaced when it dies. A context manager."""

    def __init__(self, folder: Path) -> None:
        """The child works in that folder."""
        self._folder = folder
        self._context = multiprocessing.get_context("spawn")

    def __enter__(self) -> Trial:
        """Start the child."""
        self._start()
        return self

    def __exit__(self, *_: Any) -> None:
        """End the child."""
        self._end()

    def load(self, path: Path, pin: str | None) -> Verdict:
        """Load a file as the controller does, pinned to a hash if one is given."""
        begun = time.perf_counter()
        self._connection.send((str(path), pin or ""))
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
        arguments = (theirs, self._folder)
        self._process = self._context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def _end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, folder: Path) -> None:
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    while True:
        try:
            path, pin = connection.recv()
        except EOFError:
            return
        with _measured() as cost:
            verdict = _load(path, pin)
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


def _load(path: str, pin: str) -> Verdict:
    from snn_controller.action import ACTION_KINDS
    from snn_controller.errors import UserError
    from snn_controller.preparation import prepare_flight
    from snn_controller.settings import ControllerSettings

    settings = ControllerSettings(policy=path, policy_sha256=pin)
    try:
        flight = prepare_flight(settings, frozenset(ACTION_KINDS), has_pilot=False)
        return Verdict("loaded", _fingerprint(flight.policy))
    except UserError as error:
        text = str(error)
        sentence = len(text) < 2000 and text.isprintable() and path in text
        return Verdict("refused" if sentence else "no sentence", text[:2000])
    except BaseException as error:
        return Verdict(f"raised {type(error).__name__}", str(error)[:500])


def _fingerprint(policy: Any) -> str:
    """Return a hash over what a policy does with made-up observations, and what it says."""
    import numpy as np

    rng, metadata = np.random.default_rng(5), policy.metadata
    facts = (metadata.control_rate, metadata.action_kind, metadata.airframe, metadata.layers)
    digest = hashlib.sha256(repr(facts).encode())
    for observation in rng.normal(0.0, 0.5, (PROBE_TICKS, 18)).astype(np.float32):
        digest.update(policy.step(observation).tobytes())
    return digest.hexdigest()
