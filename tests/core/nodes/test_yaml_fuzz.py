"""A hundred damaged YAML files against each of their readers, about 10 s."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.places import ROOT

pytest.importorskip("rclpy")


def test_damaged_files_end_in_a_sentence_or_in_something_sane(
    tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    script, report = ROOT / "benchmarks" / "yaml_fuzz.py", tmp_path / "fuzz.json"
    command = [sys.executable, script, "--count", "100", "--seed", "2", "--json", report]
    run = subprocess.run(command, capture_output=True, text=True, env=ros_environment)
    result = json.loads(report.read_text())
    assert run.returncode == 0, result
    for name in ("airframe", "parameters"):
        assert set(result[name]["outcomes"]) == {"refused", "loaded"}
