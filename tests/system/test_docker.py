"""The harness of `make docker-test` without an engine: decisions, sentences, and what files say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sim_in_the_loop
from harness import engine as engines
from harness.base_image import archive_address
from harness.images import explain_build, require_images
from harness.scenarios import ALL, FAULTS, MAIN, PROFILES, Scenario
from harness.shell import DockerError, last_words, must, run
from harness.stack import explain_start, flight_time
from sim_in_the_loop import (
    fly_all,
    parse,
    prepare_policy,
    stages,
    why_failed,
)

from support.places import ROOT


@pytest.fixture
def fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a `docker` first in PATH that says something and ends with a code."""

    def make(said: str, code: int) -> None:
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return make


def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ("permission denied while trying to connect to the socket", "join the group docker"),
        ("Cannot connect to the Docker daemon. Is it running?", "start one"),
    ],
)
def test_an_engine_out_of_reach_is_one_sentence(
    fake_docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, mend: str
) -> None:
    fake_docker(said, 1)
    as_user(monkeypatch)
    with (
        pytest.raises(engines.CannotRunError, match=mend) as caught,
        engines.engine(tmp_path, install=False),
    ):
        pass
    assert "a private engine cannot run here: it needs root" in str(caught.value)


def test_a_machine_without_docker_is_told_what_to_install() -> None:
    assert "apt-get install docker.io" in engines.explain("docker is not installed")


def test_a_client_that_may_not_read_its_own_files_is_not_mistaken_for_a_refused_user() -> None:
    said = (
        "WARNING: open /root/.docker/config.json: permission denied\nCannot connect to the daemon"
    )
    assert "no Docker engine answers" in engines.explain(said)


def test_capabilities_are_read_from_the_kernels_account() -> None:
    assert engines.missing_capabilities("CapEff:\t000001ffffffffff\n") == []
    assert engines.missing_capabilities("CapEff:\t00000000a80425fb\n") == [
        "CAP_NET_ADMIN",
        "CAP_SYS_ADMIN",
    ]
    assert len(engines.missing_capabilities("")) == 2


def test_a_full_disk_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "NEEDED_SPACE", 1e9)
    with pytest.raises(DockerError, match="free some space or give --state"):
        engines.check_space(tmp_path)


def test_no_daemon_is_mistaken_for_ours(tmp_path: Path) -> None:
    """A pid file may be old, and its number another program's by now."""
    file = tmp_path / engines.PID_FILE
    for text in (str(os.getpid()), "999999999", "", "not a number"):
        file.write_text(text)
        engines._stop_previous(tmp_path)  # would end this very process


def test_what_a_killed_run_has_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left, other = tmp_path / "snn-docker-x", tmp_path / "precious"
    for folder, goes in ((left, True), (other, False)):
        folder.mkdir()
        (tmp_path / engines.RUN_FOLDER).write_text(str(folder))
        engines._stop_previous(tmp_path)
        assert folder.exists() is not goes


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Types: deb\nURIs: http://a.example/debian\nSuites: x", "http://a.example/debian"),
        ("# deb http://no.example\ndeb [signed-by=/k] http://b.example/d bookworm main", "http://b.example/d"),
        ("", None),
    ],
)  # fmt: skip
def test_the_archive_is_found_in_either_format(text: str, address: str | None) -> None:
    assert archive_address(text) == address


@pytest.mark.parametrize(
    ("output", "mend"),
    [
        ("write /var/x: no space left on device", "docker system prune"),
        ("Error: pull access denied for snn-controller", "image is missing"),
        ("Bind for 0.0.0.0:8765 failed: port is already allocated", "a port is taken"),
        ("could not find an available, non-overlapping IPv4 address pool", "network prune"),
        ("ERROR: Cannot start service sim: no such device\nEncountered errors", "no such device"),
        ("Encountered errors while bringing up the project.", "see its log"),
        ("first\nsomething new\n", "something new"),
    ],
)
def test_what_keeps_containers_from_starting_is_explained(output: str, mend: str) -> None:
    assert mend in explain_start(output)


def test_what_keeps_an_image_from_being_built_is_explained() -> None:
    assert "disk is full" in explain_build("", "write: No space left on device")
    assert (
        explain_build("a\nE: Unable to locate package x\nb", "") == "E: Unable to locate package x"
    )


def test_a_failed_build_is_explained_by_the_command_that_failed() -> None:
    said = (
        "#9 5.1 ERROR: No matching distribution found for x\n#9 ERROR: executor failed running [sh]"
    )
    assert explain_build("", said) == "#9 5.1 ERROR: No matching distribution found for x"


def test_an_image_that_is_missing_is_told_before_anybody_asks_a_registry(fake_docker) -> None:
    fake_docker("Error: No such image: snn-controller:flight", 1)
    with pytest.raises(DockerError, match="snn-controller:flight is missing; leave --no-build"):
        require_images(stages([MAIN]))


def test_scenarios_name_the_images_that_they_need() -> None:
    assert stages([MAIN, *FAULTS]) == ["flight"]
    assert stages([ALL["betaflight"], ALL["betaflight_controller_killed"], ALL["trained"]]) == [
        "flight",
        "betaflight",
        "training",
    ]


def test_a_training_that_fails_is_an_outcome_and_the_rest_is_flown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> dict[str, str]:
        raise DockerError("the training ended with exit code 1; see train.log")

    monkeypatch.setattr(sim_in_the_loop, "train", broken)
    running = engines.Engine(private=True, version="1", compose=("docker-compose",))
    outcome = sim_in_the_loop.fly(running, ALL["trained"], {}, tmp_path)
    assert not outcome.passed and outcome.failure is not None
    assert "exit code 1" in outcome.failure


def test_commands_that_fail_become_codes_and_sentences() -> None:
    assert run(["/no/such/program"]).returncode == 127
    assert run(["sleep", "5"], timeout=0.05).returncode == 124
    with pytest.raises(DockerError, match=r"it broke \(why\)"):
        must(["sh", "-c", "echo why >&2; exit 3"], "it broke")
    assert last_words("a\nb\n \n") == "b" and last_words("") == "it said nothing"


def test_the_flight_time_is_the_newest_that_was_told() -> None:
    assert flight_time("") == 0.0
    assert flight_time("progress:   1.0/14 s  policy\nx\nprogress:  12.0/14 s  policy") == 12.0


def test_a_policy_that_was_relieved_does_not_fly() -> None:
    assert flight_time("  1.0/14 s  policy    x\n  2.0/14 s  fallback  x") == 0.0


def test_progress_is_read_as_the_runner_prints_it() -> None:
    assert flight_time("  3.0/14 s  policy    error 0.030 m  11032 synaptic operations") == 3.0


@pytest.mark.parametrize(
    ("scenario", "judge", "controller", "log", "failure"),
    [
        (MAIN, 0, 0, "", None),
        (MAIN, 1, 1, "x\n  FAIL survival: it fell\n  ok   heard: y", "FAIL survival: it fell"),
        (MAIN, 2, 0, "", "the judge ended with exit code 2; see judge.log"),
        (MAIN, 0, 1, "", "the controller ended with exit code 1 instead of 0"),
        (FAULTS[0], 0, 137, "", None),
        (MAIN, 0, None, "", "the controller has not ended within 120 s of the judge"),
    ],
)
def test_why_a_scenario_failed(
    scenario: Scenario, judge: int, controller: int | None, log: str, failure: str | None
) -> None:
    assert why_failed(scenario, judge, controller, log) == failure


def test_a_policy_goes_where_another_user_can_read_it(tmp_path: Path) -> None:
    policy = tmp_path / "mine.onnx"
    policy.write_bytes(b"policy")
    policy.chmod(0o600)
    given = prepare_policy(str(policy), tmp_path / "results")
    assert given["SNN_POLICY"] == "/policies/mine.onnx"
    copy = Path(given["SNN_POLICY_FOLDER"]) / "mine.onnx"
    assert copy.read_bytes() == b"policy" and copy.stat().st_mode & 0o777 == 0o644
    assert prepare_policy(None, tmp_path) == {}
    with pytest.raises(DockerError, match="does not exist; give --policy FILE"):
        prepare_policy(str(tmp_path / "none.onnx"), tmp_path)


def test_the_command_line_chooses_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse([]).scenarios == [MAIN]
    assert [s.name for s in parse(["--profile", "ci"]).scenarios] == list(PROFILES["ci"])
    assert parse(["--scenario", "landing"]).scenarios == [ALL["landing"]]
    assert fly_all(parse(["--list"])) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ALL)


@pytest.mark.parametrize(("word", "code"), [("--optional", 0), ("--no-build", 2)])
def test_where_no_engine_can_run_it_says_so(fake_docker, word: str, code: int) -> None:
    """As a user in a namespace of its own: root's engine is out of reach there."""
    fake_docker("Cannot connect to the Docker daemon", 1)
    script = (
        "import os, sys; os.geteuid = lambda: 1000; sys.argv = ['x', sys.argv[1]];"
        "import sim_in_the_loop; sim_in_the_loop.main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "docker")}
    done = subprocess.run(
        [sys.executable, "-c", script, word], capture_output=True, text=True, env=environment
    )
    assert done.returncode == code
    assert "no Docker engine answers" in done.stderr and "Traceback" not in done.stderr
