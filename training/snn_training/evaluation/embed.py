"""Put an evaluation report into a policy file, so that the file says how well it flies.

    python training/stamp.py --policy runs/x/policy.onnx --evaluation report.json --output x.onnx

The weights stay as they are; the report and, from its standard cell, the usual spike rates go into
the metadata, and the digest is made anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from snn_controller.errors import UserError
from snn_controller.policy import ZERO_DIGEST, read_artifact, seal
from snn_controller.system import write_atomically

USUAL_CELL = "standard"  # of the fixed test; its spike rates are the usual ones


@dataclass
class Args:
    """Put an evaluation report into a policy file."""

    policy: Path
    """The policy file."""
    evaluation: Path
    """Report of training/evaluate.py --json."""
    output: Path
    """The policy file to write."""


def main(args: Args) -> None:
    """Stamp as the arguments say."""
    content = stamp(read_artifact(args.policy), read_report(args.evaluation))
    write_atomically(args.output, content)
    sys.stdout.write(f"wrote {args.output}\n")


def stamp(content: bytes, report: Mapping[str, Any]) -> bytes:
    """Return a policy file's bytes with a report of training/evaluate.py in its metadata."""
    model = onnx.load_from_string(content)
    entries = {"evaluation": report, "digest": ZERO_DIGEST}
    rates = report.get("cells", {}).get(USUAL_CELL, {}).get("spike_rate", {})
    if rates:
        means = {layer: round(rate["mean"], 4) for layer, rate in rates.items()}
        entries["spike_statistics"] = {"rate_per_tick": means}
    for entry in model.metadata_props:
        if entry.key in entries:
            entry.value = json.dumps(entries[entry.key])
    return seal(model.SerializeToString(deterministic=True))


def read_report(path: Path) -> dict[str, Any]:
    """Return a report of `snn_training.evaluation.evaluate`.

    Raises:
        UserError: It is none.
    """
    try:
        report = json.loads(path.read_text())
        if isinstance(report, dict) and "cells" in report:
            return report
        reason = "it has no cells"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise UserError(f"{path} is no report ({reason}); make one with training/evaluate.py --json")
