"""The loop closes: fly by ROS, record, make a dataset of it, learn from it, fly again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.places import ROOT

pytest.importorskip("rclpy")
pytest.importorskip("minari")

from snn_training.data.store import load_episodes

NAME = "drone/flights/mine-v0"


def test_a_recorded_flight_becomes_training_data_and_its_policy_flies(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    environment = {**ros_environment, "MINARI_DATASETS_PATH": str(tmp_path / "datasets")}

    def run(*words: object) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    fly = ("-m", "snn_controller.bringup.runner", "duration:=6", "task:=figure8")
    run(*fly, "record:=true", f"report:={tmp_path / 'first'}")
    run(ROOT / "training" / "dataset.py", "--name", NAME, "--bag", tmp_path / "first")
    episodes = load_episodes(NAME, root=tmp_path / "datasets")
    assert episodes.lengths.tolist()[0] == 500 and episodes.steps >= 590
    assert episodes.metadata[0]["task"] == "figure8"
    words = "--name tuned --init hover --learner.beta 0 --learner.actor-rate 1e-4 --held-out 0"
    words += " --intervals 1 --updates 10 --validation 50 --learner.batch 16"
    words += " --reporting.batched 0 --reporting.pybullet 0 --reporting.no-pictures"
    said = run(ROOT / "training" / "iql.py", "--dataset", NAME, *words.split())
    assert "of one skill (flight)" in said
    policy = tmp_path / "runs" / "tuned" / "policy.onnx"
    run(*fly, f"policy:={policy}", f"report:={tmp_path / 'second'}")
    reports = [json.loads((tmp_path / x / "report.json").read_text()) for x in ("first", "second")]
    assert [report["survived"] for report in reports] == [True, True]
    assert reports[0]["policy_sha256"] != reports[1]["policy_sha256"]
