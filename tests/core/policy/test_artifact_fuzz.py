"""Damaged and forged policy files against the loader, about 10 s."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.places import ROOT


def test_damaged_and_forged_files_end_in_a_sentence(tmp_path: Path) -> None:
    script, report = ROOT / "benchmarks" / "artifact_fuzz.py", tmp_path / "fuzz.json"
    command = [sys.executable, script, "--count", "120", "--seed", "3", "--json", report]
    run = subprocess.run(command, capture_output=True, text=True)
    result = json.loads(report.read_text())
    assert run.returncode == 0, result["what_broke"]
    assert result["broken"] == 0
    assert sum(result["outcomes"].values()) == 120
    accidents = {k: v for k, v in result["table"].items() if k.startswith("accident")}
    assert len(accidents) >= 8
    assert all(set(outcomes) == {"refused"} for outcomes in accidents.values())
    assert result["outcomes"]["refused"] > 90
