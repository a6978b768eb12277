"""The Docker engine to use: the one that runs, or a private one that is taken down again.

The private engine has its own socket and data, and flags that leave the host's firewall, routes
and bridges alone. It needs root and a kernel with overlayfs, bridge and veth.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from harness.shell import DockerError, last_words, run

PACKAGES = ("docker.io", "docker-compose", "debootstrap", "iptables")
NEEDED_SPACE = 4.0  # GB for base image, layers and bags
START_TIME, STOP_TIME = 60.0, 30.0  # s
# Change nothing outside: no rules, no forwarding, no docker0.
FLAGS = (
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
    "--bridge=none",
)
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}  # bits in /proc/self/status
# Where this is, containers get no real-time priority but from an engine that has set some aside.
REALTIME_BUDGET = Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")
REALTIME_FLAG = "--cpu-rt-runtime=900000"  # us of each second, for all containers together
PID_FILE, RUN_FOLDER, RUN_PREFIX = "dockerd.pid", "dockerd.run", "snn-docker-"
CONFIGURATION_FILE = "daemon.json"
# Else the builder keeps every layer that it has ever made.
CONFIGURATION = {"builder": {"gc": {"enabled": True, "defaultKeepStorage": "6GB"}}}
DENIED, ABSENT = "permission denied", "no engine"


@dataclass(frozen=True)
class Engine:
    """An engine that answers."""

    private: bool
    version: str
    compose: tuple[str, ...]  # command of Compose
    build_options: tuple[str, ...] = ()
    realtime_unit: str = ""  # how Compose writes ms of real-time priority, where it gives any


class CannotRunError(DockerError):
    """No engine can run on this machine, whatever is installed."""


@contextmanager
def engine(state: Path, *, install: bool) -> Iterator[Engine]:
    """Give an engine for as long as the block lasts.

    Args:
        state: Folder of a private engine's data.
        install: Whether missing packages may be installed.

    Raises:
        DockerError: There is none and none can be started; `CannotRunError` where none could be.
    """
    trouble = _trouble()
    if not trouble:
        yield _describe(private=False)
        return
    obstacle = obstacle_to_private()
    if obstacle:
        raise CannotRunError(f"{explain(trouble)}; a private engine cannot run here: {obstacle}")
    check_space(state)
    _install(install)
    with _private(state):
        yield _describe(private=True)


def explain(trouble: str) -> str:
    """Return what keeps us from the engine that may run, with the mend."""
    text = trouble.lower()
    # The client also warns of files of its own that it may not read.
    if any(DENIED in line and "connect" in line for line in text.splitlines()):
        return "the Docker socket refuses this user; join the group docker, or run as root"
    if "not installed" in text:
        return f"docker is not installed; on Debian: apt-get install {' '.join(PACKAGES)}"
    return "no Docker engine answers; start one (systemctl start docker), or run as root"


def obstacle_to_private() -> str | None:
    """Return why a private engine cannot run on this machine, or None."""
    if os.geteuid() != 0:
        return "it needs root"
    missing = missing_capabilities(Path("/proc/self/status").read_text())
    if missing:
        return f"this root may not do all ({', '.join(missing)} missing)"
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        run(["modprobe", "overlay"])
        if "overlay" not in Path("/proc/filesystems").read_text().split():
            return "the kernel has no overlayfs"
    for kind, rest in (("bridge", ()), ("veth", ("peer", "name", "probe1"))):
        done = run(["unshare", "--net", "ip", "link", "add", "probe0", "type", kind, *rest])
        if done.returncode not in (0, 127):
            return f"the kernel has no {kind} interfaces"
    return None


def missing_capabilities(status: str) -> list[str]:
    """Return which needed capabilities the text of /proc/self/status does not have."""
    line = next((x for x in status.splitlines() if x.startswith("CapEff:")), "CapEff: 0")
    bits = int(line.split()[1], 16)
    return [name for name, bit in CAPABILITIES.items() if not bits >> bit & 1]


def check_space(folder: Path) -> None:
    """Refuse a folder on a disk that is too full.

    Raises:
        DockerError: It is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < NEEDED_SPACE:
        raise DockerError(
            f"only {free:.1f} GB are free at {folder} and images take {NEEDED_SPACE:g}; free some"
            " space or give --state a folder on another disk"
        )


def _trouble() -> str:
    """Return why no engine answers, empty when one does."""
    done = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=20.0)
    return "" if done.returncode == 0 else done.stderr or done.stdout or ABSENT


def _describe(*, private: bool) -> Engine:
    version = run(["docker", "version", "--format", "{{.Server.Version}}"]).stdout.strip()
    # Builds need a way out, which an engine without its default bridge gives by the host only.
    bridged = run(["docker", "network", "inspect", "bridge"]).returncode == 0
    options = () if bridged else ("--network=host",)
    for compose in (("docker", "compose"), ("docker-compose",)):
        done = run([*compose, "version", "--short"])
        if done.returncode == 0:
            unit = realtime_unit(done.stdout) if private and REALTIME_BUDGET.exists() else ""
            return Engine(private, version, compose, options, unit)
    raise DockerError("Compose is not installed; on Debian: apt-get install docker-compose")


def realtime_unit(compose_version: str) -> str:
    """Return what makes a number of ms the one that this Compose takes for `cpu_rt_runtime`."""
    return "ms" if compose_version.strip().removeprefix("v").startswith("1.") else "000"


def _install(allowed: bool) -> None:
    """Install what a private engine needs, or say what is missing.

    Raises:
        DockerError: It is missing and may not or cannot be installed.
    """
    programs = ("dockerd", "docker", "docker-compose", "debootstrap")
    missing = [name for name in programs if shutil.which(name) is None]
    if not missing:
        return
    packages = " ".join(PACKAGES)
    if not allowed or shutil.which("apt-get") is None:
        raise DockerError(
            f"{', '.join(missing)} missing for a private engine; run: apt-get install {packages}"
            " (or give --install)"
        )
    print(f"docker: installing {packages}", flush=True)
    options = ("--yes", "--no-install-recommends")
    run(["apt-get", "update"], timeout=300.0)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = run(["apt-get", "install", *options, *PACKAGES], timeout=600.0, environment=environment)
    if done.returncode != 0:
        raise DockerError(f"apt-get install {packages} failed ({last_words(done.stderr)})")


@contextmanager
def _private(state: Path) -> Iterator[None]:
    """Run a dockerd with data in `state`; take it down on every way out."""
    _stop_previous(state)
    # Sockets have short names, and a check-out may lie deep.
    run_folder = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
    (state / RUN_FOLDER).write_text(str(run_folder))
    socket = f"unix://{run_folder}/docker.sock"
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = socket
    process = _start(state, run_folder, socket)
    try:
        _await_answer(process, state / "dockerd.log")
        yield
    finally:
        _stop(process.pid)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5.0)
        _clean(state, run_folder)
        os.environ.pop("DOCKER_HOST")
        if before is not None:
            os.environ["DOCKER_HOST"] = before


def _start(state: Path, run_folder: Path, socket: str) -> subprocess.Popen[bytes]:
    folders = ("--data-root", state / "data", "--exec-root", run_folder / "exec")
    flags = (*FLAGS, *([REALTIME_FLAG] if REALTIME_BUDGET.exists() else []))
    (state / CONFIGURATION_FILE).write_text(json.dumps(CONFIGURATION))
    folders = (*folders, "--config-file", state / CONFIGURATION_FILE)
    command = ["dockerd", *flags, *folders, "--pidfile", state / PID_FILE, "--host", socket]
    with (state / "dockerd.log").open("wb") as log:
        return subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C reaches us only, and we need the engine to clean up
        )


def _await_answer(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = monotonic() + START_TIME
    while _trouble():
        if process.poll() is not None or monotonic() > deadline:
            why = last_words(log.read_text(errors="replace"))
            raise DockerError(f"a private engine does not start ({why}); see {log}")
        sleep(0.25)


def _stop_previous(state: Path) -> None:
    """Take down the engine that a killed run has left behind, and what it has mounted."""
    with suppress(OSError, ValueError):
        pid = int((state / PID_FILE).read_text())
        if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
            print("docker: stopping the engine of an earlier run", file=sys.stderr)
            _stop(pid)
    with suppress(OSError):
        run_folder = Path((state / RUN_FOLDER).read_text())
        if run_folder.name.startswith(RUN_PREFIX):
            _clean(state, run_folder)


def _clean(state: Path, run_folder: Path) -> None:
    """Leave nothing of an engine that has ended but its data."""
    _unmount(state, run_folder)
    shutil.rmtree(run_folder, ignore_errors=True)
    for name in (PID_FILE, RUN_FOLDER):
        (state / name).unlink(missing_ok=True)


def _stop(pid: int) -> None:
    """End a daemon by its pid, in good order if it lets us."""
    for number, patience in ((signal.SIGTERM, STOP_TIME), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = monotonic() + patience
        while _alive(pid):
            if monotonic() > deadline:
                break
            sleep(0.1)
        else:
            return


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def _unmount(*folders: Path) -> None:
    """Unmount what is left below some folders, the deepest first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted(points, key=len, reverse=True):
        if any(Path(point).is_relative_to(folder.resolve()) for folder in folders):
            run(["umount", point])
