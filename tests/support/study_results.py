"""Results of studies that nobody ran."""

from __future__ import annotations

from typing import Any

from snn_training.studies.catalogue import Setting
from snn_training.studies.results import Result


def make_result(setting: Setting, seed: int, **changes: Any) -> Result:
    value = {"mean": 10.0 + seed, "low": 0.0, "high": 1.0}
    names = ("return_end", "survival", "steady_xy_m", "action_step")
    return {
        "format": 1,
        "study": "tiny",
        "setting": setting.label,
        "seed": seed,
        "script": setting.script,
        "options": list(setting.options),
        "budget": "study",
        "test": {"cells": ["standard", "hard", "robust"], "episodes": 7, "seed": 0},
        "status": "done",
        "resumed": False,
        "seconds": 130.0,
        "processor_seconds": 60.0 + 60.0 * seed,
        "peak_memory_mb": 500,
        "git": "0123456789+changes",
        "curve": {
            "transitions": [1000, 2000, 3000],
            "return_end": [None, 100.0 + seed, 200.0],
            "survival": [0.1, 0.2, 0.3],
        },
        "evaluation": {
            cell: dict.fromkeys(names, value) for cell in ("standard", "hard", "robust")
        },
        **changes,
    }
