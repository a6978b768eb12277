"""TD3 end to end, tiny: reproducible, resumable after a kill, refuses nonsense."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_training.algorithms import interval as intervals
from snn_training.algorithms.curriculum import Curriculum
from snn_training.algorithms.td3 import train as td3
from snn_training.algorithms.td3.learner import Learner, LearnerConfig
from snn_training.artifacts.guide import fly_blind
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.neurons.surrogate import SlopeConfig
from snn_training.runs import checkpoint as learner_run
from support.finished_runs import Killed, outcome, same

INTERVALS = 3


def make_args(folder: Path, name: str, **options: Any) -> td3.Args:
    args = td3.Args(
        name=name,
        folder=folder,
        intervals=INTERVALS,
        ticks=20,
        drones=8,
        updates=1,
        batch=16,
        replay=600,  # fills up, so that the ring turns
        validation=8,
        learner=LearnerConfig(actor_hidden=(8,), critic_hidden=(8,)),
        reporting=ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0),
    )
    return replace(args, **options)


def test_a_spiking_actor_learns_with_the_schedule_of_its_slope(tmp_path: Path) -> None:
    learner = LearnerConfig(actor="spiking", actor_hidden=(8,), actor_steps=2, critic_hidden=(8,))
    slope = SlopeConfig(schedule="interval", start=1.0, end=100.0, intervals=INTERVALS)
    td3.main(make_args(tmp_path, "spiking", learner=learner, slope=slope))
    log = (tmp_path / "spiking" / "progress.csv").read_text().splitlines()
    place = log[0].split(",").index("slope")
    assert [float(row.split(",")[place]) for row in log[1:]] == [1.0, 50.5, 100.0]
    actor = learner_run.load_guide(tmp_path / "spiking")
    observation = np.zeros((1, 18), np.float32)
    action = Policy.load(tmp_path / "spiking" / "policy.onnx").step(observation[0])
    np.testing.assert_allclose(action, fly_blind(actor, observation)[0], atol=1e-5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        td3.main(make_args(folder, name, seed=seed))
    return folder


def test_same_seed_gives_the_same_run_bit_by_bit(runs: Path) -> None:
    assert same(runs / "one", runs / "same")
    assert not same(runs / "one", runs / "other")


def test_run_folder_reproduces_and_its_policy_loads(runs: Path) -> None:
    config = json.loads((runs / "one" / "config.json").read_text())
    assert config["config"]["learner"]["gamma"] == 0.99
    assert config["git"]
    assert (runs / "one" / "learning_curve.png").stat().st_size > 1000
    policy = Policy.load(runs / "one" / "policy.onnx", airframe="crazyflie21", control_rate=100.0)
    assert policy.metadata.provenance["seed"] == 0
    assert np.isfinite(policy.step(np.zeros(18))).all()


def test_the_artifact_is_the_best_interval(runs: Path) -> None:
    guide = learner_run.load_guide(runs / "one")
    policy = Policy.load(runs / "one" / "policy.onnx")
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(40, 18)).astype(np.float32)
    flown = np.stack([policy.step(x) for x in observations])
    np.testing.assert_allclose(flown, fly_blind(guide, observations), atol=1e-6)
    _, rows = outcome(runs / "one")
    best = max(float(row["return_end"]) for row in rows)
    assert policy.metadata.provenance["validation"]["return_end"] == best


def stop_at(monkeypatch: pytest.MonkeyPatch, update: int, error: BaseException) -> None:
    real = Learner.update

    def stopped(self: Learner, batch: Any) -> tuple[float, float]:
        if self.updates >= update:
            raise error
        return real(self, batch)

    monkeypatch.setattr(Learner, "update", stopped)


@pytest.mark.parametrize("update", [7, 53])  # in the first interval and in the third
def test_a_killed_run_resumes_as_if_unbroken(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: int
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, update, Killed())
        with pytest.raises(Killed):
            td3.main(make_args(tmp_path, "killed"))
    td3.main(make_args(tmp_path, "killed", resume=True))
    assert same(tmp_path / "killed", runs / "one")


def test_a_killed_run_in_pybullet_resumes_as_if_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"sim": "pybullet", "drones": 3, "replay": 300, "intervals": 2, "starts": ("hard",)}
    td3.main(make_args(tmp_path, "unbroken", **options))
    with monkeypatch.context() as patch:
        stop_at(patch, 27, Killed())
        with pytest.raises(Killed):
            td3.main(make_args(tmp_path, "killed", **options))
    td3.main(make_args(tmp_path, "killed", resume=True, **options))
    assert same(tmp_path / "killed", tmp_path / "unbroken")
    with pytest.raises(UserError, match="another --sim"):
        td3.main(make_args(tmp_path, "killed", resume=True, **{**options, "sim": "batched"}))


def test_killed_between_log_and_checkpoint_repeats_no_row(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = intervals.save_run

    def killed(run: learner_run.LearnerRun) -> None:
        if len(run.rows) == 2:
            raise Killed
        real(run)

    with monkeypatch.context() as patch:
        patch.setattr(intervals, "save_run", killed)
        with pytest.raises(Killed):
            td3.main(make_args(tmp_path, "killed"))
    td3.main(make_args(tmp_path, "killed", resume=True))
    assert same(tmp_path / "killed", runs / "one")


def test_interrupting_ends_cleanly_and_can_be_resumed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 30, KeyboardInterrupt())
        td3.main(make_args(tmp_path, "short"))
    Policy.load(tmp_path / "short" / "policy.onnx")
    td3.main(make_args(tmp_path, "short", resume=True))
    assert same(tmp_path / "short", runs / "one")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Learner.update

    def spoilt(self: Learner, batch: Any) -> tuple[float, float]:
        bad = np.full_like(batch.rewards, np.nan)
        return real(self, batch._replace(rewards=bad) if self.updates >= 30 else batch)

    monkeypatch.setattr(Learner, "update", spoilt)
    with pytest.raises(UserError, match="no longer finite") as caught:
        td3.main(make_args(tmp_path, "spoilt"))
    assert "\n" not in str(caught.value)
    tensors, rows = outcome(tmp_path / "spoilt")
    assert len(rows) == 1
    assert all(bool(x.float().isfinite().all()) for x in tensors)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(learner_run, "write_atomically", full)
    with pytest.raises(UserError, match="No space left"):
        td3.main(make_args(tmp_path, "full"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resume": False}, "already holds a run"),
        ({"resume": True, "seed": 1}, "another --seed"),
        ({"resume": True, "batch": 4, "ticks": 9}, "another --ticks, --batch"),
        ({"resume": True, "name": "nowhere"}, "holds no checkpoint"),
    ],
)
def test_resuming_something_else_is_one_sentence(
    runs: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        td3.main(make_args(runs, **{"name": "one", **options}))
    assert "\n" not in str(caught.value)


def test_a_damaged_or_foreign_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be used"):
        td3.main(make_args(tmp_path, "run", resume=True))
    torch.save({"format": 99, "provenance": "{}"}, path)
    with pytest.raises(UserError, match="another version"):
        td3.main(make_args(tmp_path, "run", resume=True))
    with pytest.raises(UserError, match="another version"):
        learner_run.load_guide(path.parent)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"drones": 0}, "--drones"),
        ({"drones": 65, "sim": "pybullet"}, "--drones .* 1 to 64 with --sim pybullet"),
        ({"updates": 0}, "--updates"),
        ({"replay": 200}, "--replay"),
        ({"starts": ()}, "--starts"),
        ({"starts": ("nowhere",)}, "nowhere"),
        ({"airframe": "airship"}, "airship"),
        ({"first_exploration": float("nan")}, "--first-exploration"),
        ({"name": "a/b"}, "--name"),
        ({"seed": -1}, "--seed"),
        ({"curriculum": Curriculum(until=2.0)}, "--curriculum.until"),
        ({"learner": LearnerConfig(actor_hidden=())}, "--learner.actor-hidden"),
        ({"learner": LearnerConfig(gamma=1.0)}, "--learner.gamma"),
        ({"learner": LearnerConfig(tau=0.0)}, "--learner.tau"),
        ({"learner": LearnerConfig(delay=0)}, "--learner.delay"),
    ],
)
def test_bad_arguments_are_one_sentence(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        td3.main(replace(make_args(tmp_path, "bad"), **options))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_run_shows_itself_and_ends_with_its_scores(tmp_path: Path) -> None:
    reporting = ReportingConfig(batched=2, pybullet=1)
    td3.main(make_args(tmp_path, "shown", reporting=reporting))
    names = {file.name for file in (tmp_path / "shown").iterdir()}
    assert {"rollout.png", "evaluation.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
