"""The containers of one scenario: started, watched, disturbed, collected, taken down."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from harness.engine import Engine
from harness.scenarios import Fault
from harness.shell import DockerError, last_words, run

SERVICES = ("judge", "sim", "controller")
TRAINER = "train"
START_TIME = 180.0  # s
POLL_PERIOD = 0.2  # s
PROGRESS = re.compile(r"^(?:.*progress:)? *([0-9.]+)/[0-9.]+ s +(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Stack:
    """A Compose project of its own, so that runs side by side do not meet."""

    engine: Engine
    files: tuple[Path, ...]
    project: str
    environment: Mapping[str, str]

    def compose(self, *words: str, timeout: float = START_TIME) -> tuple[int, str]:
        """Run a Compose command; return its exit code and output."""
        command = [*self.engine.compose, "--project-name", self.project]
        for file in self.files:
            command += ["--file", str(file)]
        done = run([*command, *words], timeout=timeout, environment=self.environment)
        return done.returncode, done.stdout + done.stderr

    def start(self, *services: str) -> None:
        """Start all containers, each when the one before listens; or only some services.

        Raises:
            DockerError: One does not start.
        """
        code, output = self.compose("up", "--detach", "--no-build", *services)
        if code != 0:
            raise DockerError(f"the containers do not start ({explain_start(output)})")

    def container(self, service: str) -> str:
        """Return the id of a service's container, also of one that has ended; empty if none."""
        words = ["docker", "ps", "--all", "--quiet", "--no-trunc"]
        labels = {"project": self.project, "service": service}
        for name, value in labels.items():
            words += ["--filter", f"label=com.docker.compose.{name}={value}"]
        return run(words).stdout.strip().partition("\n")[0]

    def log(self, service: str) -> str:
        """Return all that a service has said."""
        done = run(["docker", "logs", self.container(service)])
        return done.stdout + done.stderr

    def exit_code(self, service: str) -> int | None:
        """Return the exit code of a service, None while it runs or was never started."""
        done = run(["docker", "inspect", "--format", "{{json .State}}", self.container(service)])
        if done.returncode != 0:
            return None
        state = json.loads(done.stdout)
        return state["ExitCode"] if state["Status"] in ("exited", "dead") else None

    def wait(self, service: str, seconds: float) -> int | None:
        """Wait for the end of a service; return its exit code, None if it goes on."""
        deadline = monotonic() + seconds
        while (code := self.exit_code(service)) is None and monotonic() < deadline:
            sleep(POLL_PERIOD)
        return code

    def wait_for_flight(self, seconds: float, limit: float) -> bool:
        """Wait until the flight is some seconds old; False if it does not become so in time."""
        deadline = monotonic() + limit
        while flight_time(self.log("controller")) < seconds:
            if monotonic() > deadline or self.exit_code("controller") is not None:
                return False
            sleep(POLL_PERIOD)
        return True

    def inflict(self, fault: Fault) -> None:
        """Do a fault to its container, and undo it after its time.

        Raises:
            DockerError: The engine refuses.
        """
        self._act(fault.target, fault.action)
        if fault.recovery:
            sleep(fault.after)
            self._act(fault.target, fault.recovery)

    def _act(self, service: str, action: str) -> None:
        container = self.container(service)
        words = [action, container]
        if action == "disconnect":
            words = ["network", "disconnect", "--force", f"{self.project}_flight", container]
        elif action == "connect":
            words = ["network", "connect", "--alias", service, f"{self.project}_flight", container]
        done = run(["docker", *words])
        if done.returncode != 0:
            raise DockerError(f"docker {words[0]} of {service} failed ({last_words(done.stderr)})")

    def collect(self, folder: Path) -> None:
        """Bring logs and reports of all containers into a folder, whatever became of them."""
        folder.mkdir(parents=True, exist_ok=True)
        for service in (*SERVICES, TRAINER):
            container = self.container(service)
            if container:
                (folder / f"{service}.log").write_text(self.log(service))
                run(["docker", "cp", f"{container}:/out/.", str(folder)], timeout=120.0)

    def stop(self) -> None:
        """Take everything down: containers, network, volumes."""
        for service in SERVICES:  # a frozen container would not be ended
            run(["docker", "unpause", self.container(service)])
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


@contextmanager
def stack(
    engine: Engine, files: tuple[Path, ...], project: str, settings: Mapping[str, str]
) -> Iterator[Stack]:
    """Give a stack that is taken down on every way out."""
    made = Stack(engine, files, project, {**os.environ, **settings})
    made.stop()  # what a killed run of this name has left
    try:
        yield made
    finally:
        made.stop()


def flight_time(log: str) -> float:
    """Return for how many s the policy flies by a controller's log, 0 where it does not."""
    times = PROGRESS.findall(log)
    return float(times[-1][0]) if times and times[-1][1] == "policy" else 0.0


def explain_start(output: str) -> str:
    """Return why Compose does not start, with the mend where one is known."""
    text = output.lower()
    if "no space left" in text:
        return "the disk is full; free some space: docker system prune"
    if "no such image" in text or "pull access denied" in text:
        return "an image is missing; leave --no-build away"
    if "port is already allocated" in text or "address already in use" in text:
        return "a port is taken; stop who has it, or leave the profile away that opens it"
    if "pool overlaps" in text or "non-overlapping" in text:
        return "no free network addresses; remove networks: docker network prune"
    refusals = [line for line in output.splitlines() if "cannot start service" in line.lower()]
    if refusals:
        return last_words(refusals[-1])
    if "unhealthy" in text or "failed to start" in text or "encountered errors" in text:
        return "a node does not come up; see its log"
    return last_words(output)
