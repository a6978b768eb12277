"""What a run shows of itself: TensorBoard, pictures, scores. Takes about 8 s."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_training.evaluation import reporter as reporting
from snn_training.evaluation.picture import draw_rollout
from snn_training.evaluation.reporter import (
    NOT_INSTALLED,
    SCORES,
    Reporter,
    ReportingConfig,
    TensorBoardLog,
    numbers,
    score_policy,
)
from snn_training.evaluation.scenarios import episode_generator

FEW = ReportingConfig(batched=3, pybullet=2)
NOTHING = ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0)


@pytest.fixture
def run(tmp_path: Path, policy: Policy) -> Path:
    (tmp_path / "policy.onnx").write_bytes(policy.path.read_bytes())
    return tmp_path


def read_events(folder: Path, name: str) -> list[tuple[int, float]]:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator(str(folder))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(name)]


def test_rows_become_scalars(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path)
    log.add({"survival": 0.5, "steady": "", "loss": float("nan")}, 1)
    log.add({"survival": 0.75}, 2)
    log.close()
    assert read_events(tmp_path, "survival") == [(1, 0.5), (2, 0.75)]


def test_a_resumed_run_hides_what_it_flies_again(tmp_path: Path) -> None:
    for done, values in ((0, (0.1, 0.2, 0.3)), (1, (0.5, 0.6))):
        log = TensorBoardLog(tmp_path, done=done)
        for offset, value in enumerate(values):
            log.add({"survival": value}, done + 1 + offset)
        log.close()
    events = read_events(tmp_path, "survival")
    assert [step for step, _ in events] == [1, 2, 3]
    assert [value for _, value in events] == pytest.approx([0.1, 0.5, 0.6])


def test_without_tensorboard_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = TensorBoardLog(tmp_path)
    log.add({"loss": 1.0}, 1)
    log.close()
    assert capsys.readouterr().out == f"{NOT_INSTALLED}\n"
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_the_log_and_not_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full:
        def add_scalar(self, *_: Any) -> None:
            raise OSError(28, "No space left on device")

    log = TensorBoardLog(tmp_path)
    log._writer = Full()
    log.add({"loss": 1.0}, 1)
    log.add({"loss": 1.0}, 2)
    assert capsys.readouterr().out.count("No space left on device") == 1


def test_only_finite_numbers_count() -> None:
    row = {"a": 1, "b": 0.5, "c": "", "d": float("inf"), "e": True}
    assert numbers(row) == {"a": 1.0, "b": 0.5, "e": 1.0}


def test_an_interval_leaves_a_picture_and_events(run: Path) -> None:
    with Reporter(run, FEW) as reporter:
        reporter.interval({"return_end": 400.0}, 1)
    picture = (run / reporting.ROLLOUT).read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
    assert read_events(run, "return_end") == [(1, 400.0)]


def test_pictures_of_one_policy_are_identical(run: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_rollout(run / "policy.onnx", run / name)
    assert (run / "a.png").read_bytes() == (run / "b.png").read_bytes()


def test_a_finished_run_has_its_scores_in_both_simulators(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Reporter(run, FEW) as reporter:
        reports = reporter.finish()
    assert json.loads((run / SCORES).read_text()) == reports
    assert list(reports) == ["batched", "pybullet"]
    for sim, episodes in (("batched", 3), ("pybullet", 2)):
        assert reports[sim]["split"] == "validation"
        assert reports[sim]["cells"]["hard"]["episodes"] == episodes
    printed = capsys.readouterr().out
    assert printed.count("standard") == 2 and "pybullet" in printed


def test_a_simulator_without_episodes_is_left_out(run: Path) -> None:
    assert list(score_policy(run / "policy.onnx", batched=2, pybullet=0)) == ["batched"]


def test_who_wants_nothing_gets_nothing(run: Path) -> None:
    with Reporter(run, NOTHING) as reporter:
        reporter.interval({"return_end": 400.0}, 1)
        assert reporter.finish() == {}
    assert [file.name for file in run.iterdir()] == ["policy.onnx"]


def test_validation_flies_other_episodes_than_the_test() -> None:
    draws = [
        episode_generator(0, "standard", 0, split=split).uniform()
        for split in ("test", "validation")
    ]
    assert draws[0] != draws[1]


def test_wandb_is_asked_only_on_request(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = ModuleType("wandb"), []

    class Run:
        def log(self, row: dict[str, float], step: int) -> None:
            calls.append((row, step))

        def finish(self) -> None:
            calls.append("finished")

    def init(**options: Any) -> Run:
        calls.append(options["name"])
        return Run()

    module.__dict__["init"] = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    with Reporter(run, ReportingConfig(tensorboard=False, wandb=True, pictures=False)) as reporter:
        reporter.interval({"loss": 1.0, "note": ""}, 3)
    assert calls == [run.name, ({"loss": 1.0}, 3), "finished"]
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        Reporter(run, ReportingConfig(tensorboard=False, wandb=True))
