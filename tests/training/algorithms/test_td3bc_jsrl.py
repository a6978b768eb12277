"""JSRL end to end, tiny: reproducible, resumable after a kill, all guides, refuses nonsense."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_controller.policy.runtime import Policy
from snn_training.algorithms import runner, td3
from snn_training.algorithms.td3bc import jsrl, training
from snn_training.algorithms.td3bc.learner import Losses, SequenceConfig, SequenceLearner
from snn_training.algorithms.td3bc.training import guide_return
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.networks.config import NetworkConfig
from snn_training.neurons.surrogate import SlopeConfig
from snn_training.rollouts.jump_start import Exploration, JumpStart, Schedule
from snn_training.runs import folder as run_folder
from support.finished_runs import Killed, outcome, same
from support.sequence_samples import TINY, config

INTERVALS = 3
QUIET = ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0)


def make_args(folder: Path, name: str, **options: Any) -> jsrl.Args:
    args = jsrl.Args(
        name=name,
        folder=folder,
        guide="geometric",
        drones=6,
        intervals=INTERVALS,
        updates=12,
        replay=480,  # fills up, so that the ring turns
        first_ticks=60,
        ticks=1,
        validation=8,
        network=TINY,
        learner=config(value_from=0.3),
        reporting=QUIET,
    )
    return replace(args, **options)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        jsrl.main(make_args(folder, name, seed=seed))
    return folder


@pytest.mark.slow
def test_same_seed_gives_the_same_run_bit_by_bit(runs: Path) -> None:
    assert same(runs / "one", runs / "same")
    assert not same(runs / "one", runs / "other")


def test_run_folder_reproduces_and_its_policy_loads(runs: Path) -> None:
    content = json.loads((runs / "one" / "config.json").read_text())
    assert content["config"]["learner"]["warm_up"] == 10
    assert content["config"]["budget"] == "full"
    assert content["git"]
    assert (runs / "one" / "learning_curve.png").stat().st_size > 1000
    policy = Policy.load(runs / "one" / "policy.onnx", airframe="crazyflie21", control_rate=100.0)
    assert policy.metadata.provenance["seed"] == 0
    assert np.isfinite(policy.step(np.zeros(18))).all()


def test_the_artifact_is_the_best_interval(runs: Path) -> None:
    policy = Policy.load(runs / "one" / "policy.onnx")
    _, rows = outcome(runs / "one")
    best = max(float(row["return_end"]) for row in rows)
    assert policy.metadata.provenance["validation"]["return_end"] == best


@pytest.fixture(autouse=True)
def light(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once `runs` has seen them at work, leave out what takes most of a tiny run's time."""
    monkeypatch.setattr(runner, "plot_log", lambda *rest: None)
    shipped = Path(policy_path("")).read_bytes()
    monkeypatch.setattr(
        training, "export_policy", lambda policy, path, info: path.write_bytes(shipped)
    )


def stop_at(monkeypatch: pytest.MonkeyPatch, update: int, error: BaseException) -> None:
    real = SequenceLearner.update

    def stopped(self: SequenceLearner, *rest: Any) -> Losses:
        if self.updates >= update:
            raise error
        return real(self, *rest)

    monkeypatch.setattr(SequenceLearner, "update", stopped)


@pytest.mark.slow
@pytest.mark.parametrize("update", [5, 29])  # in the first interval and in the third
def test_a_killed_run_resumes_as_if_unbroken(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: int
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, update, Killed())
        with pytest.raises(Killed):
            jsrl.main(make_args(tmp_path, "killed"))
    jsrl.main(make_args(tmp_path, "killed", resume=True))
    assert same(tmp_path / "killed", runs / "one")


def test_interrupting_ends_cleanly_and_can_be_resumed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 20, KeyboardInterrupt())
        jsrl.main(make_args(tmp_path, "short"))
    assert (tmp_path / "short" / "policy.onnx").exists()
    jsrl.main(make_args(tmp_path, "short", resume=True))
    assert same(tmp_path / "short", runs / "one")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SequenceLearner.update

    def spoilt(self: SequenceLearner, *rest: Any) -> Losses:
        losses = real(self, *rest)
        return losses._replace(critic=float("nan")) if self.updates >= 20 else losses

    monkeypatch.setattr(SequenceLearner, "update", spoilt)
    with pytest.raises(UserError, match="no longer finite") as caught:
        jsrl.main(make_args(tmp_path, "spoilt"))
    assert "\n" not in str(caught.value)
    tensors, rows = outcome(tmp_path / "spoilt")
    assert len(rows) == 1
    assert all(bool(x.float().isfinite().all()) for x in tensors)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder, "write_atomically", full)
    with pytest.raises(UserError, match="No space left"):
        jsrl.main(make_args(tmp_path, "full"))


@pytest.mark.parametrize("schedule", ["linear", "random", "gated", "none"])
def test_every_jump_start_trains(tmp_path: Path, schedule: Schedule) -> None:
    jump = JumpStart(schedule, until=0.5, cold_from=0.8, stages=1, gate=0.0)
    jsrl.main(make_args(tmp_path, "jump", intervals=1, jump_start=jump))
    assert (tmp_path / "jump" / "policy.onnx").exists()


@pytest.mark.parametrize("schedule", ["fixed", "interval", "adaptive"])
def test_every_slope_trains_and_is_logged(tmp_path: Path, schedule: Any) -> None:
    jsrl.main(make_args(tmp_path, "slope", slope=SlopeConfig(schedule, start=2.0)))
    slopes = [float(row["slope"]) for row in outcome(tmp_path / "slope")[1]]
    assert all(1.0 <= x <= 100.0 for x in slopes)
    assert slopes[0] == 2.0


def test_a_td3_guide_is_trained_first_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, trained = td3.main, []

    def tiny(args: td3.Args) -> bool:
        trained.append(args.resume)
        return real(replace(args, ticks=4, drones=8, updates=1, batch=8, replay=600, validation=4))

    monkeypatch.setattr(td3, "main", tiny)
    options = {"guide": "td3", "guide_intervals": 1, "intervals": 1}
    with monkeypatch.context() as patch:
        stop_at(patch, 4, Killed())
        with pytest.raises(Killed):
            jsrl.main(make_args(tmp_path, "taught", **options))
    jsrl.main(make_args(tmp_path, "taught", resume=True, **options))
    assert trained == [False, True]
    assert (tmp_path / "taught" / "guide" / "policy.onnx").exists()
    folder = str(tmp_path / "taught" / "guide")
    jsrl.main(make_args(tmp_path, "folder", guide=folder, intervals=1))


def test_a_policy_file_guides(tmp_path: Path) -> None:
    jsrl.main(make_args(tmp_path, "file", guide=str(policy_path("")), intervals=1))


def test_robust_training_on_moving_references(tmp_path: Path) -> None:
    options = {"disturbances": "mixed", "moving_share": 0.5, "step_share": 0.2}
    jsrl.main(make_args(tmp_path, "robust", privileged="rotors", intervals=1, **options))


def test_the_same_code_trains_in_pybullet(tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    jsrl.main(make_args(tmp_path, "bullet", sim="pybullet", drones=4, intervals=1, updates=2))
    assert (tmp_path / "bullet" / "policy.onnx").exists()


def test_the_guide_scores_as_in_the_fixed_test(quadrotor: Any) -> None:
    assert 400 < guide_return("geometric", quadrotor, seed=0, episodes=100) < 450


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resume": False}, "already holds a run"),
        ({"resume": True, "seed": 1}, "another --seed"),
        ({"resume": True, "name": "nowhere"}, "holds no checkpoint"),
    ],
)
def test_resuming_something_else_is_one_sentence(
    runs: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        jsrl.main(make_args(runs, **{"name": "one", **options}))
    assert "\n" not in str(caught.value)


def test_a_run_of_another_script_is_refused(runs: Path) -> None:
    with pytest.raises(UserError, match=r"run of training/jsrl\.py"):
        run_folder.load_guide(runs / "one")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"drones": 0}, "--drones"),
        ({"updates": 0}, "--updates"),
        ({"replay": 200}, "--replay"),
        ({"starts": ()}, "--starts"),
        ({"starts": ("nowhere",)}, "nowhere"),
        ({"airframe": "airship"}, "airship"),
        ({"guide": "nobody"}, "no guide 'nobody'"),
        ({"device": "cuda"}, "CUDA"),
        ({"name": "a/b"}, "--name"),
        ({"seed": -1}, "--seed"),
        ({"first_ticks": 3}, "--first-ticks"),
        ({"moving_share": 0.7, "step_share": 0.7}, "--step-share"),
        ({"exploration": Exploration(policy=float("nan"))}, "--exploration.policy"),
        ({"network": NetworkConfig(hidden=())}, "--network.hidden"),
        ({"network": NetworkConfig(control_rate=500.0)}, "--network.control-rate"),
        ({"slope": SlopeConfig(start=0.5)}, "--slope.start"),
        ({"jump_start": JumpStart(first=501)}, "--jump-start.first"),
        ({"learner": SequenceConfig(warm_up=100)}, "--learner.warm-up"),
        ({"learner": SequenceConfig(sequence=501)}, "--learner.sequence"),
        ({"learner": SequenceConfig(gamma=1.0)}, "--learner.gamma"),
    ],
)
def test_bad_arguments_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], word: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=word) as caught:
        jsrl.main(replace(make_args(tmp_path, "bad"), **options))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
