"""Every benchmark runs and prints what its documentation shows, at its smallest size."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from snn_controller.paths import policy_path
from support.places import ROOT
from support.real_time import in_real_time

FOLDER = ROOT / "benchmarks"
PROGRAMS = {x.stem for x in FOLDER.glob("*.py") if "__main__" in x.read_text()}
# Where benchmarks are run: here, and beside what else needs the firmware.
TESTS = (Path(__file__), ROOT / "tests" / "sim" / "betaflight" / "test_sitl.py")


def run(
    name: str, *words: object, code: int = 0, needs: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a benchmark, which must end with an exit code and without a traceback."""
    for package in needs:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, FOLDER / f"{name}.py", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def numbers(line: str) -> list[float]:
    """Return the numbers of a row of a table, its label left out."""
    return [float(x.replace(",", "")) for x in re.findall(r"(?<=\s)-?[\d,]+\.?\d*", line)]


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_benchmark_is_run_by_a_test(name: str) -> None:
    texts = "".join(file.read_text() for file in TESTS)
    assert f'run("{name}"' in texts or f'run("benchmarks/{name}.py"' in texts


def test_policy_tick() -> None:
    rows = run("policy_tick", "--rates", "1000", "--ticks", "20").stdout.splitlines()[1:]
    assert [row.split("  ")[0] for row in rows] == ["Policy.step", "onnxruntime run()"] * 2
    for row in rows:
        p50, p99, most = (float(x) for x in row.split()[-3:])
        assert 0.0 < p50 <= p99 <= most


def test_policy_tick_of_a_policy_without_feedback() -> None:
    run("policy_tick", "--policy", policy_path("hover_mlp"), "--rates", "1000", "--ticks", "10")


@pytest.mark.slow
def test_transformer_tick() -> None:
    words = ("--ticks", "130", "--window", "4")
    table = run("transformer_tick", *words, needs=("torch", "onnxscript")).stdout
    for kind in ("spiking, window as state", "dense, window as state", "dense, whole window again"):
        assert re.search(rf"\| {kind} +\| \d+ \| \d+ \| \d+ \|", table)


@pytest.mark.slow
def test_network() -> None:
    words = ("--batches", "2", "--ticks", "3", "--rounds", "1")
    table = run("network", *words, needs=("torch", "numba")).stdout
    for name in ("ReLU perceptron", "ours, numba", "ours, PyTorch operators"):
        row = next(row for row in table.splitlines() if row.startswith(name))
        assert all(x > 0.0 for x in numbers(row.replace("ms", ""))[:4])


@pytest.mark.slow
def test_simulators(tmp_path: Path) -> None:
    report = tmp_path / "simulators.json"
    words = ("--rounds", "1", "--drones", "8", "--spell", "0.001", "--json", report)
    run("simulators", *words, needs=("pybullet", "numba", "gymnasium"))
    figures = json.loads(report.read_text())
    assert {"8 drones: twin, full env", "PyBullet, 100 Hz: ours, DroneEnv"} <= figures.keys()
    assert all(figure["best"] >= figure["median"] > 0.0 for figure in figures.values())


@pytest.mark.slow
def test_artifact_fuzz(tmp_path: Path) -> None:
    """Damaged and forged files end in a sentence; about 10 s."""
    report = tmp_path / "fuzz.json"
    words = ("--count", "120", "--seed", "3", "--json", report)
    run("artifact_fuzz", *words, needs=("onnx",))
    result = json.loads(report.read_text())
    assert result["broken"] == 0, result["what_broke"]
    assert sum(result["outcomes"].values()) == 120
    accidents = {k: v for k, v in result["table"].items() if k.startswith("accident")}
    assert len(accidents) >= 8
    assert all(set(outcomes) == {"refused"} for outcomes in accidents.values())
    assert result["outcomes"]["refused"] > 90


def test_yaml_fuzz(tmp_path: Path, ros_environment: dict[str, str]) -> None:
    """A hundred damaged files against each reader end in a sentence or in something sane."""
    report = tmp_path / "fuzz.json"
    run("yaml_fuzz", "--count", "100", "--seed", "2", "--json", report, needs=("rclpy",))
    result = json.loads(report.read_text())
    for name in ("airframe", "parameters"):
        assert set(result[name]["outcomes"]) == {"refused", "loaded"}, result[name]


def test_fault_campaign(tmp_path: Path) -> None:
    report = tmp_path / "campaign.json"
    words = ("--flights", "2", "--links", "sim", "mavlink", "--json", report)
    run("fault_campaign", *words, needs=("pybullet", "pymavlink"))
    result = json.loads(report.read_text())
    assert result["flights"] == 4 and result["uncommanded_motion"] == 0


@pytest.mark.slow
def test_mavlink_link() -> None:
    words = ("--hover", "1", "--cuts", "1")
    result = json.loads(run("mavlink_link", *words, needs=("pymavlink", "pybullet")).stdout)
    assert result["hover"]["largest"] < 0.5 and result["cut"]["flights"] == 1
    assert 0.0 < result["cut"]["left_offboard"][0] < 2.0


@pytest.mark.slow
@in_real_time
def test_crazyflie_link() -> None:
    words = ("--hover", "9", "--cuts", "1", "--frames", "400")
    result = json.loads(run("crazyflie_link", *words, needs=("cflib", "pybullet")).stdout)
    assert result["hover"]["flying_at_the_end"] and result["hover"]["end_error_m"] < 0.2
    assert len(result["cuts"]) == 1 and result["damaged"]["moved"] == 0


@pytest.mark.slow
@in_real_time
def test_node_latency(tmp_path: Path, ros_environment: dict[str, str]) -> None:
    report = tmp_path / "latency.json"
    words = ("--seconds", "1", "--rounds", "1", "--json", report)
    run("node_latency", *words, needs=("rclpy",))
    rows = json.loads(report.read_text())
    assert [row["subject"] for row in rows] == ["echo", "node"]
    for row in rows:
        assert row["answered"] > 0.9  # a flight that its guards had ended would answer nothing
        assert 0.0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
