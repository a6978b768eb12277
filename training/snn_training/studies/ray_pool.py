"""Jobs on Ray: on this machine's cores, or on those of a cluster that is running already."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from snn_controller.errors import UserError

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # as nice as we are; Ray's 15 starves beside any other program
}
LOCAL_STORE = 80 * 2**20  # bytes for Ray's shared memory; results are small
STOP_SECONDS = 45.0
KNOCK_SECONDS = 5.0

Job = TypeVar("Job")


class RayPool(Generic[Job]):
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

    def __enter__(self) -> RayPool[Job]:
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
