"""The fixed test as a program: episodes, pilots, workers, files, refusals. Takes about 10 s."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import tyro

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_training.evaluation.evaluate import Args, evaluate
from snn_training.evaluation.flights import Simulator
from snn_training.evaluation.scenarios import SCENARIOS
from snn_training.evaluation.table import format_report
from support.places import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("sim", ["pybullet", "batched"])
def test_scores_do_not_depend_on_the_number_of_workers(sim: str, tmp_path: Path) -> None:
    reports = []
    for workers in (1, 2):
        path = tmp_path / f"{workers}.json"
        command = [sys.executable, "training/evaluate.py", "--policy", "geometric"]
        command += ["--episodes", "12", "--cells", "easy", "hard", "--seed", "5"]
        command += ["--workers", str(workers), "--json", str(path), "--sim", sim]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[1].split()[0] == "easy"
        reports.append(json.loads(path.read_text()))
        assert reports[-1].pop("git")  # somebody may commit in between
    assert reports[0] == reports[1]
    report = reports[0]
    assert report["sim"] == sim
    assert report["cells"]["hard"]["episodes"] == 12
    assert report["cells"]["easy"]["episodes"] == 1  # a single start: more would be copies


@pytest.mark.parametrize("sim", ["pybullet", "batched"])
def test_shipped_policy_is_scored_as_it_flies(sim: Simulator, policy: Policy) -> None:
    report = evaluate(Args(policy=str(policy.path), sim=sim, cells=("easy",)))
    scores = report["cells"]["easy"]
    assert set(scores["spike_rate"]) == {layer.name for layer in policy.metadata.layers}
    assert all(0.0 < rate["mean"] < 1.0 for rate in scores["spike_rate"].values())
    assert scores["synaptic_ops"]["mean"] > 0.0
    assert "easy" in format_report(report)


@pytest.mark.parametrize("cell", SCENARIOS)
def test_both_simulators_score_the_same_episodes_alike(cell: str) -> None:
    """Same starts, disturbances and noise: returns differ by what Bullet's integrator costs."""
    reports = [
        evaluate(Args(policy="geometric", sim=sim, cells=(cell,), episodes=6, seed=2))
        for sim in get_args(Simulator)
    ]
    batched, bullet = (report["cells"][cell] for report in reports)
    assert batched["episodes"] == bullet["episodes"] == (1 if cell == "easy" else 6)
    assert batched["survival"] == bullet["survival"]
    assert batched["return_end"]["mean"] == pytest.approx(bullet["return_end"]["mean"], rel=0.05)
    assert batched["rms_xy_m"]["mean"] == pytest.approx(bullet["rms_xy_m"]["mean"], abs=0.01)


def test_shipped_policy_survives_the_easy_start(policy: Policy) -> None:
    report = evaluate(Args(policy=str(policy.path), cells=("easy",)))
    assert report["cells"]["easy"]["survival"]["mean"] == 1.0


def test_without_memory_a_policy_flies_otherwise(policy: Policy) -> None:
    reports = [
        evaluate(Args(policy=str(policy.path), cells=("easy",), reset_every_tick=forget))
        for forget in (False, True)
    ]
    kept, forgotten = (report["cells"]["easy"]["return_end"]["mean"] for report in reports)
    assert kept != forgotten


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (Args(policy="geometric", cells=("hrad",)), "easy, standard, hard, published"),
        (Args(policy="geometric", sim="bullet"), "batched, pybullet"),  # type: ignore[arg-type]
        (Args(policy="geometric", cells=()), "easy, standard, hard"),
        (Args(policy="geometric", tracks=("loop",)), "hover, step, figure8"),
        (Args(policy="geometric", flights=0), "at least 1"),
        (Args(policy="geometric", episodes=0), "at least 1"),
        (Args(policy="geometric", workers=0), "at least 1"),
        (Args(policy="geometric", seed=-1), "at least 0"),
        (Args(policy="no_such.onnx"), "does not exist"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Args, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(arguments)


@pytest.mark.parametrize("option", ["--cells", "--scenarios"])
def test_scenarios_are_chosen_by_either_option(option: str) -> None:
    args = tyro.cli(Args, args=["--policy", "geometric", option, "easy", "robust"])
    assert args == Args("geometric", cells=("easy", "robust"))


def test_program_prints_one_sentence_and_exits_with_2() -> None:
    command = [sys.executable, "training/evaluate.py", "--policy", "no_such.onnx"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr.startswith("error: policy no_such.onnx does not exist")
    assert "Traceback" not in result.stderr
