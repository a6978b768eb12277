"""Ask a policy for returns and draw what it achieves.

    python training/asked_return.py --policy runs/transformer/policy.onnx --output asked.png

Every target flies the same standard starts of the fixed test on the batched twin.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.policy import Policy
from snn_controller.report.plots import BLUE, GREY, head, write_picture
from snn_controller.system import write_atomically
from snn_training.evaluation import Args as EvaluationArgs
from snn_training.evaluation import Split, evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SIZE = (5.5, 4.5)  # inch
RESOLUTION = 130  # dots per inch


@dataclass(frozen=True)
class Args:
    """Ask a policy for returns and draw what it achieves."""

    policy: Path
    """The policy file, of training/decision_transformer.py."""
    output: Path
    """Picture to draw; the numbers go beside it as JSON."""
    targets: tuple[float, ...] = ()
    """Returns to ask for; twelve over the policy's range if left out."""
    count: int = 12
    """How many, if they are left out."""
    episodes: int = 200
    """Flights of each target."""
    cell: str = "standard"
    """Cell of the fixed test."""
    split: Split = "test"
    """Episodes to fly: the test's or the validation's."""
    seed: int = 0
    """Seed of the starts."""


def main(args: Args) -> None:
    """Fly, draw and say how well what is achieved follows what is asked."""
    report = ask(args)
    write_atomically(
        args.output.with_suffix(".json"), (json.dumps(report, indent=2) + "\n").encode()
    )
    write_picture(args.output, partial(draw, report), size=SIZE, resolution=RESOLUTION)
    for row in report["targets"]:
        sys.stdout.write(
            f"asked {row['asked']:6.0f}   achieved {row['achieved']:6.1f}"
            f"   survival {row['survival']:.3f}\n"
        )
    sys.stdout.write(f"rank correlation {report['rank_correlation']:.3f}\n")


def ask(args: Args) -> dict[str, Any]:
    """Return what each target achieved, and the rank correlation of the two.

    Raises:
        UserError: The policy takes no target, or there are fewer than two targets.
    """
    metadata = Policy.load(args.policy).metadata
    if metadata.target_return is None:
        raise UserError(
            f"{args.policy} takes no target return; give one of training/decision_transformer.py"
        )
    targets = args.targets or tuple(np.linspace(*metadata.target_return_range, args.count).tolist())
    if len(targets) < 2:
        raise UserError("one target tells nothing; give --targets at least two")
    rows = [_achieved(args, target) for target in targets]
    asked, achieved = (np.array([row[key] for row in rows]) for key in ("asked", "achieved"))
    return {
        "policy": args.policy.name,
        "cell": args.cell,
        "split": args.split,
        "episodes": args.episodes,
        "range": list(metadata.target_return_range),
        "rank_correlation": rank_correlation(asked, achieved),
        "targets": rows,
    }


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return Spearman's correlation of two sets without ties (n,)."""
    ranks = [np.argsort(np.argsort(x)).astype(np.float64) for x in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def draw(report: dict[str, Any], figure: Figure) -> None:
    """Draw achieved over asked return."""
    axis = figure.add_subplot()
    asked = [row["asked"] for row in report["targets"]]
    means = np.array([row["achieved"] for row in report["targets"]])
    spread = np.array(
        [[m - r["low"], r["high"] - m] for m, r in zip(means, report["targets"], strict=True)]
    )
    axis.plot(asked, asked, color=GREY, linestyle="--", label="what was asked")
    axis.errorbar(asked, means, spread.T, color=BLUE, marker="o", capsize=3, label="achieved, 95 %")
    axis.set_xlabel("return asked for")
    axis.set_ylabel(f"return achieved, {report['cell']} starts")
    head(axis, f"Rank correlation {report['rank_correlation']:.2f}")
    axis.legend()
    figure.set_layout_engine("constrained")


def _achieved(args: Args, target: float) -> dict[str, float]:
    scores = evaluate(
        EvaluationArgs(
            str(args.policy),
            cells=(args.cell,),
            episodes=args.episodes,
            seed=args.seed,
            split=args.split,
            target_return=target,
        )
    )["cells"][args.cell]
    score = scores["return_end"]
    return {
        "asked": target,
        "achieved": score["mean"],
        "low": score["low"],
        "high": score["high"],
        "survival": scores["survival"]["mean"],
    }
