"""Writing files whole or not at all."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from snn_controller.errors import UserError

MAX_NAME = 100  # bytes, a little less than the name of a socket may have


def hold_name(name: str) -> socket.socket | None:
    """Return a socket that holds a name until it is closed; None where another one holds it.

    The kernel frees the name with the process, however that ends. Network namespaces, and so most
    containers, have names of their own.
    """
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform != "linux":
        return holder  # names without a file exist there only
    try:
        holder.bind(f"\0snn_controller/{name}".encode()[:MAX_NAME])
    except OSError:
        holder.close()
        return None
    return holder


def claim_endpoint(endpoint: str) -> socket.socket:
    """Return a socket that keeps other links of this machine from an endpoint until it is closed.

    Two controllers of one vehicle would pull it back and forth.

    Raises:
        UserError: Another link uses the endpoint.
    """
    holder = hold_name(endpoint)
    if holder is None:
        raise UserError(f"another controller flies the vehicle at {endpoint}; stop it first")
    return holder


def write_atomically(path: Path, content: bytes) -> Path:
    """Put a file in place in one step, so that a reader never sees half of it; return its path.

    Its folder is made where it is missing. On a failure, what stood there before stays.

    Raises:
        UserError: The place cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); free some space or choose a"
            " folder that is writable"
        ) from error
    return path
