"""How a finished run scores: its policy on both simulators, by the validation's episodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from snn_controller.files import write_atomically

from training.evaluate import Args, evaluate

SCORES = "evaluation.json"
CELLS = ("standard", "hard")


def score_policy(policy: Path, *, batched: int, pybullet: int) -> dict[str, Any]:
    """Fly a policy file on the validation's episodes and keep the scores beside it.

    Args:
        policy: The policy file; `evaluation.json` is written into its folder.
        batched: Episodes a cell on the batched twin; 0 leaves it out.
        pybullet: Episodes a cell in PyBullet; 0 leaves it out.

    Returns:
        Simulator -> report of `training.evaluate`.

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
