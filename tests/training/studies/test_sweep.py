"""Studies: planned, run on a stand-in for Ray and on Ray itself, resumed, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snn_controller.errors import UserError
from snn_training.studies import catalogue as studies
from snn_training.studies import sweep
from snn_training.studies.catalogue import Setting, Study
from snn_training.studies.results import read_result, write_result
from snn_training.studies.run import Job, execute
from support.fake_scripts import write_scripts


class Inline:
    """A pool that runs a job when it is started."""

    def __init__(self, size: int = 2, stop_after: int = 99) -> None:
        self.size, self.stop_after, self.started = size, stop_after, []
        self.done: list[tuple[Job, Any]] = []

    @property
    def running(self) -> list[Job]:
        return [job for job, _ in self.done]

    def start(self, job: Job) -> None:
        if len(self.started) >= self.stop_after:
            raise KeyboardInterrupt
        self.started.append(job.name)
        try:
            self.done.append((job, execute(job)))
        except OSError as error:
            self.done.append((job, error))

    def finished(self, timeout: float) -> list[tuple[Job, Any]]:
        return [self.done.pop(0)]


@pytest.fixture
def args(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sweep.Args:
    settings = (Setting("A", "td3"), Setting("B", "bc", ("--fail", "no luck")))
    monkeypatch.setitem(studies.STUDIES, "tiny", Study("Which?", settings))
    folders = {"results": tmp_path / "results", "folder": tmp_path / "runs"}
    return sweep.Args("tiny", seeds=(0, 1), episodes=5, **folders)


def jobs_of(args: sweep.Args, tmp_path: Path) -> list[Job]:
    scripts = write_scripts(tmp_path / "scripts", "bc", "td3")
    return [replace(job, scripts=scripts) for job in sweep.plan(args)]


def test_a_plan_goes_seed_by_seed(args: sweep.Args) -> None:
    names = [job.name for job in sweep.plan(args)]
    assert names == ["A-0", "B-0", "A-1", "B-1"]
    assert [job.name for job in sweep.plan(replace(args, settings=("B",)))] == ["B-0", "B-1"]


def test_a_failing_run_is_kept_and_does_not_stop_the_others(
    args: sweep.Args, tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "study" / "tiny"
    failed = sweep.run_jobs(jobs_of(args, tmp_path), Inline(), folder)
    assert [job.name for job in failed] == ["B-0", "B-1"]
    results = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert sorted(results) == ["A-0.json", "A-1.json", "B-0.json", "B-1.json"]
    assert results["A-1.json"]["status"] == "done"
    assert "no luck" in results["B-1.json"]["error"]
    with pytest.raises(UserError, match="2 runs failed"):
        sweep.report(failed, args, folder)


def test_what_has_a_result_is_not_run_again_and_failures_are(
    args: sweep.Args, tmp_path: Path
) -> None:
    folder, jobs = tmp_path / "results", jobs_of(args, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        sweep.run_jobs(jobs, Inline(size=1, stop_after=2), folder)
    assert read_result(folder / "A-0.json") is not None
    waiting = [job for job in jobs if not sweep.is_done(job, folder)]
    assert [job.name for job in waiting] == ["B-0", "A-1", "B-1"]


def test_results_of_other_options_are_one_sentence(args: sweep.Args, tmp_path: Path) -> None:
    folder, job = tmp_path / "results", jobs_of(args, tmp_path)[0]
    sweep.run_jobs([job], Inline(), folder)
    other = replace(job, setting=replace(job.setting, options=("--batch", "3")))
    for changed in (other, replace(job, budget="full"), replace(job, episodes=6)):
        with pytest.raises(UserError, match="move it away") as caught:
            sweep.is_done(changed, folder)
        assert "\n" not in str(caught.value)


def test_the_same_run_of_another_study_is_taken_over(args: sweep.Args, tmp_path: Path) -> None:
    folder, job = tmp_path / "results" / "tiny", jobs_of(args, tmp_path)[0]
    sweep.run_jobs([job], Inline(), folder)
    twin = replace(job, study="other", setting=replace(job.setting, label="X"))
    assert sweep.take_over(twin, tmp_path / "results" / "other")
    result = read_result(tmp_path / "results" / "other" / "X-0.json")
    assert result is not None
    assert (result["study"], result["setting"], result["taken_from"]) == ("other", "X", "tiny")
    assert sweep.is_done(twin, tmp_path / "results" / "other")
    for changed in (replace(twin, seed=1), replace(twin, episodes=6), replace(twin, budget="full")):
        assert not sweep.take_over(changed, tmp_path / "results" / "other")


def test_an_exception_of_a_worker_is_a_failure(args: sweep.Args, tmp_path: Path) -> None:
    job = jobs_of(args, tmp_path)[0]
    result = sweep.as_result(job, RuntimeError("the node died\n"))
    assert (result["status"], result["error"]) == ("failed", "the node died")
    write_result(tmp_path / "x.json", result)


def test_a_damaged_result_is_one_sentence(args: sweep.Args, tmp_path: Path) -> None:
    job = jobs_of(args, tmp_path)[0]
    (tmp_path / "A-0.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        sweep.is_done(job, tmp_path)
    (tmp_path / "A-0.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="another version"):
        sweep.is_done(job, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"study": "nothing"}, "unknown study 'nothing'"),
        ({"settings": ("C",)}, "unknown setting 'C'; choose from: A, B"),
        ({"seeds": ()}, "--seeds"),
        ({"seeds": (-1,)}, "--seeds"),
        ({"episodes": 0}, "--episodes"),
        ({"workers": 0}, "--workers"),
    ],
)
def test_bad_arguments_are_one_sentence(
    args: sweep.Args, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        sweep.main(replace(args, **options))
    assert "\n" not in str(caught.value)


def test_a_dry_run_says_what_would_be_run(
    args: sweep.Args, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.main(replace(args, dry_run=True))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "--name B-0 --seed 0 --budget study" in lines[1]
    assert lines[1].endswith("--fail no luck")
    assert not (tmp_path / "runs").exists()


def test_without_ray_it_says_how_to_install_it(
    args: sweep.Args, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install -e '.\[sweep\]'"):
        sweep.main(args)


@pytest.mark.slow
def test_on_ray(args: sweep.Args, tmp_path: Path) -> None:
    """About 10 s: Ray starts and ends, with two workers."""
    pytest.importorskip("ray")
    folder = tmp_path / "results"
    with sweep.RayPool(execute, workers=2, address=None) as pool:
        failed = sweep.run_jobs(jobs_of(args, tmp_path), pool, folder)
    assert {job.name for job in failed} == {"B-0", "B-1"}
    assert len(list(folder.glob("*.json"))) == 4


def test_nobody_at_the_address_is_one_sentence(args: sweep.Args) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UserError, match="cannot be joined") as caught:
        sweep.main(replace(args, address="127.0.0.1:1"))
    assert "\n" not in str(caught.value)
