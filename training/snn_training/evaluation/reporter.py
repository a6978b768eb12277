"""What every training script shows of a run: log, pictures, and the score at its end.

    with Reporter(folder, args.reporting, done=0) as reporter:
        reporter.interval(row, number)  # after progress.csv and policy.onnx are written
        reporter.finish()  # at the end of a whole run

None of it changes what the run learns.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from snn_controller.policy import Policy
from snn_controller.system import write_atomically
from snn_sim.task import CONTROL_RATE
from snn_training.common import bounded
from snn_training.evaluation.evaluate import Args, evaluate
from snn_training.evaluation.picture import draw_rollout
from snn_training.evaluation.table import format_report

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


SCORES = "evaluation.json"
CELLS = ("standard", "hard")


def score_policy(policy: Path, *, batched: int, pybullet: int) -> dict[str, Any]:
    """Fly a policy file on the validation's episodes and keep the scores beside it.

    Args:
        policy: The policy file; `evaluation.json` is written into its folder.
        batched: Episodes a cell on the batched twin; 0 leaves it out.
        pybullet: Episodes a cell in PyBullet; 0 leaves it out.

    Returns:
        Simulator -> report of `snn_training.evaluation.evaluate`.

    Raises:
        UserError: The policy is unusable or the scores cannot be written.
    """
    tests = [
        Args(str(policy), sim="batched", cells=CELLS, episodes=batched, split="validation"),
        Args(str(policy), sim="pybullet", cells=CELLS, episodes=pybullet, split="validation"),
    ]
    reports = {args.sim: evaluate(args) for args in tests if args.episodes > 0}
    content = json.dumps(reports, indent=2, allow_nan=False) + "\n"
    write_atomically(policy.parent / SCORES, content.encode())
    return reports


POLICY, ROLLOUT = "policy.onnx", "rollout.png"


@dataclass(frozen=True)
class ReportingConfig:
    """What a run shows of itself."""

    tensorboard: bool = True
    """Write TensorBoard event files beside progress.csv."""
    wandb: bool = False
    """Send the log to Weights & Biases, which must be installed."""
    pictures: bool = True
    """Draw rollout.png whenever the policy is evaluated."""
    batched: int = bounded(1000, 0, 1_000_000)
    """Episodes a cell that score the finished run on the batched twin; 0 for none."""
    pybullet: int = bounded(50, 0, 1_000_000)
    """Episodes a cell that score the finished run in PyBullet; 0 for none."""


class Reporter:
    """The services around one run, in its folder, which holds `policy.onnx`."""

    def __init__(self, folder: Path, config: ReportingConfig, *, done: int = 0) -> None:
        """Open the logs; `done` is the number of intervals that a resumed run goes on from."""
        self.folder, self.config = folder, config
        self._tensorboard = TensorBoardLog(folder, done=done) if config.tensorboard else None
        self._wandb = _start_wandb(folder) if config.wandb else None

    def interval(self, row: Mapping[str, Any], interval: int) -> None:
        """Log a row and draw the policy as it now is; intervals are counted from 1."""
        if self._tensorboard is not None:
            self._tensorboard.add(row, interval)
        if self._wandb is not None:
            self._wandb.log(numbers(row), step=interval)
        policy = self.folder / POLICY
        if self.config.pictures and _flies_the_test(policy):
            draw_rollout(policy, self.folder / ROLLOUT, title=f"interval {interval}")

    def finish(self) -> dict[str, Any]:
        """Score the run's policy on both simulators, keep the scores and print them.

        Raises:
            UserError: The scores cannot be written.
        """
        policy, config = self.folder / POLICY, self.config
        if config.batched == config.pybullet == 0 or not _flies_the_test(policy):
            return {}
        reports = score_policy(policy, batched=config.batched, pybullet=config.pybullet)
        for sim, report in reports.items():
            tqdm.write(f"{policy} on the validation's episodes, {sim}:")
            tqdm.write(format_report(report), file=sys.stdout, end="")
        return reports

    def close(self) -> None:
        """Close the logs; closing twice does no harm."""
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish()
            self._wandb = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _flies_the_test(policy: Path) -> bool:
    """Whether a policy ticks at the test's rate; others can be neither scored nor drawn."""
    return Policy.load(policy).metadata.control_rate == CONTROL_RATE


def _start_wandb(folder: Path) -> Any:
    from snn_controller.errors import UserError

    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError("wandb is not installed; pip install wandb or leave it out") from error
    return wandb.init(project="snn_controller", name=folder.name, dir=folder)
