"""Writing files whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from snn_controller.errors import UserError


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
