"""A run of a study: trained, scored, kept; interrupted, resumed, failed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from snn_training.studies.catalogue import Setting
from snn_training.studies.results import write_result
from snn_training.studies.run import Job, describe, execute, last_lines, run_process
from support.fake_scripts import write_scripts


@pytest.fixture
def job(tmp_path: Path) -> Job:
    scripts = write_scripts(tmp_path / "scripts", "bc", "td3")
    return Job("some", Setting("one", "td3"), 3, "study", 10, tmp_path / "runs", scripts)


def test_a_run_is_trained_and_scored(job: Job, tmp_path: Path) -> None:
    result = execute(job)
    assert result["status"] == "done"
    assert describe(job).items() <= result.items()
    assert result["curve"]["return_end"][:2] == [3.0, 43.0]
    assert result["evaluation"]["robust"]["survival"]["mean"] == 3.0
    assert 0.0 <= result["processor_seconds"] <= 60.0
    assert result["peak_memory_mb"] > 1.0  # at least what this process uses, see Cost
    assert result["git"] == "abc"
    assert not result["resumed"]
    assert not (job.place / "checkpoint.pt").exists()


def test_a_result_is_small_and_without_places(job: Job, tmp_path: Path) -> None:
    write_result(tmp_path / "x.json", execute(job))
    text = (tmp_path / "x.json").read_text()
    assert len(text) < 20_000
    assert str(tmp_path) not in text


def test_a_finished_run_is_not_run_again_unless_it_is_another(job: Job) -> None:
    first = execute(job)
    (job.place / "policy.onnx").write_text("9")
    assert execute(job) == json.loads(json.dumps(first))
    other = replace(job, episodes=11)
    assert execute(other)["evaluation"]["hard"]["survival"]["mean"] == 3.0
    assert execute(other)["test"]["episodes"] == 11


def test_an_interrupted_run_goes_on(job: Job) -> None:
    job.place.mkdir(parents=True)
    (job.place / "checkpoint.pt").write_text("")
    (job.place / "progress.csv").write_text("from before")
    result = execute(job)
    assert (result["status"], result["resumed"]) == ("done", True)


def test_a_failure_is_a_result_with_the_last_words(job: Job, tmp_path: Path) -> None:
    job = replace(job, setting=Setting("one", "td3", ("--fail", "the sky fell")))
    result = execute(job)
    assert result["status"] == "failed"
    assert result["error"].endswith("error: one-3 the sky fell")
    assert str(tmp_path) not in result["error"]


def test_progress_bars_are_no_last_words(tmp_path: Path) -> None:
    path = tmp_path / "output.txt"
    path.write_bytes(b"first\n 10%|#   | 1/10\r 20%|##  | 2/10\rerror: no \xff\n\n")
    assert last_lines(path) == "first\nerror: no \N{REPLACEMENT CHARACTER}"


def test_cost_is_that_of_this_process_alone(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from snn_training.studies.run import run_process
for text in ("x = bytearray(400_000_000)", "import time; time.sleep(0.3)"):
    cost = run_process([sys.executable, "-c", text], Path(sys.argv[1]))
    print(cost.peak_memory_mb, cost.seconds, cost.processor_seconds)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "output.txt")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    big, small = ([float(x) for x in line.split()] for line in output.splitlines())
    assert big[0] > 350.0 > small[0]
    assert small[1] > 0.3 > small[2]


def test_who_stops_waiting_stops_the_process(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    def interrupt() -> None:
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # a shell that starts tests in the background lets them ignore this signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            run_process([sys.executable, "-c", code], tmp_path / "output.txt")
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_script_is_told_to_use_one_thread(tmp_path: Path) -> None:
    code = "import os; print(os.environ['OMP_NUM_THREADS'], end='')"
    cost = run_process([sys.executable, "-c", code], tmp_path / "output.txt")
    assert cost.exit_code == 0
    assert (tmp_path / "output.txt").read_text() == "1"
    with pytest.raises(OSError):
        run_process(["/nowhere/at-all"], tmp_path / "output.txt")


def test_it_imports_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import snn_training.studies.run"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
