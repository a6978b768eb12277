"""A run's log as TensorBoard event files; where TensorBoard is not installed, nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

NOT_INSTALLED = (
    "tensorboard is not installed, so progress.csv is the only log; pip install tensorboard"
)


class TensorBoardLog:
    """Event files in a run's folder, one scalar per column and interval."""

    def __init__(self, folder: Path, *, done: int = 0) -> None:
        """Open the log.

        Args:
            folder: Folder of the run.
            done: Intervals that a resumed run goes on from; what was logged beyond is hidden.
        """
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            tqdm.write(NOT_INSTALLED)
        else:
            self._writer = SummaryWriter(str(folder), purge_step=done + 1 if done else None)

    def add(self, row: Mapping[str, Any], interval: int) -> None:
        """Write the numbers of a row of the log; at once, so that a killed run keeps them."""
        if self._writer is not None:
            try:
                for name, value in numbers(row).items():
                    self._writer.add_scalar(name, value, interval)
                self._writer.flush()
            except OSError as error:  # the disk is full, mostly; progress.csv has it all
                self._writer = None
                tqdm.write(f"TensorBoard's log ends here ({error}); make room for it")

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        if self._writer is not None:
            self._writer.close()


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the entries of a row that are finite numbers."""
    found = {name: float(x) for name, x in row.items() if isinstance(x, (int, float))}
    return {name: x for name, x in found.items() if math.isfinite(x)}
