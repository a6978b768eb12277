"""What every training script shows of a run: log, pictures, and the score at its end.

    with Reporter(folder, args.reporting, done=0) as reporter:
        reporter.interval(row, number)  # after progress.csv and policy.onnx are written
        reporter.finish()  # at the end of a whole run

None of it changes what the run learns.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from snn_controller.policy import Policy
from tqdm import tqdm

from sim.drone import CONTROL_RATE
from training.final_scores import score_policy
from training.rollout_picture import draw_rollout
from training.rules import Rules
from training.score_table import format_report
from training.tensorboard_log import TensorBoardLog, numbers

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
    batched: int = 1000
    """Episodes a cell that score the finished run on the batched twin; 0 for none."""
    pybullet: int = 50
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
        if not _flies_the_test(policy) or config.batched == config.pybullet == 0:
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


def reporting_rules(config: ReportingConfig) -> Rules:
    """Return the rules of the options, for `training.rules.require`."""
    return {
        "reporting.batched": (0 <= config.batched <= 1_000_000, "0 to 1000000"),
        "reporting.pybullet": (0 <= config.pybullet <= 1_000_000, "0 to 1000000"),
    }


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
