"""`snn-fly` as its user runs it: processes, real DDS, exit codes, and what is left behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest

from snn_controller.paths import policy_path
from support.real_time import in_real_time

pytest.importorskip("rclpy")

COMMAND = [sys.executable, "-m", "snn_controller.bringup.runner"]
MOTION = (
    "position_rmse_m",
    "steady_error_m",
    "max_error_m",
    "ticks",
    "duration_s",
    "spike_rate",
    "synaptic_ops_per_tick",
    "action_step",
    "motion_sha256",
)


@pytest.fixture
def snn_fly(ros_environment, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*COMMAND, *words],
            capture_output=True,
            text=True,
            timeout=120,
            env=ros_environment,
            cwd=tmp_path,
        )

    return run


def nodes_of(launcher: int) -> list[int]:
    """Process ids of nodes that were started with this launcher's id among their parameters."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"SNN_TEST_RUN={launcher}".encode() in status and b"nodes." in command:
                found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_the_same_seed_flies_the_same_flight(snn_fly, tmp_path: Path) -> None:
    reports = []
    for name in ("first", "second"):
        done = snn_fly("task:=figure8", "duration:=3", "seed:=7", f"report:={tmp_path / name}")
        assert done.returncode == 0, done.stdout + done.stderr
        reports.append(json.loads((tmp_path / name / "report.json").read_text()))
        assert (tmp_path / name / "flight.png").stat().st_size > 10_000
    first, second = reports
    assert {key: first[key] for key in MOTION} == {key: second[key] for key in MOTION}
    assert first["survived"] is True
    assert first["task"] == "figure8"
    assert first["seed"] == 7
    assert first["missed_ticks"] == 0


@pytest.mark.slow
def test_record_leaves_a_bag_of_the_whole_flight(snn_fly, tmp_path: Path) -> None:
    from rosbags.highlevel import AnyReader

    done = snn_fly("duration:=2", "record:=true", f"report:={tmp_path / 'out'}")
    assert done.returncode == 0, done.stdout + done.stderr
    with AnyReader([tmp_path / "out" / "bag"]) as bag:
        counts = {c.topic: c.msgcount for c in bag.connections}
    assert counts["/odom"] >= 201
    assert counts["/motors"] >= 201


@pytest.mark.slow
@in_real_time
def test_takeoff_land_in_real_time(snn_fly, tmp_path: Path) -> None:
    done = snn_fly(
        "task:=takeoff_land", "duration:=1", "lockstep:=false", f"report:={tmp_path / 'out'}"
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    modes = [entry["mode"] for entry in report["modes"]]
    assert modes == ["checks", "takeoff", "policy", "land", "disarmed"], done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dration:=5"], "unknown argument 'dration'; did you mean 'duration'?"),
        (["task:=loop"], "unknown task 'loop'"),
        (["policy:=/nowhere/p.onnx"], "/nowhere/p.onnx does not exist"),
        (["rviz:=true"], "rviz2 is not installed"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_exit_code_2(snn_fly, words, sentence) -> None:
    done = snn_fly(*words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_domain_that_does_not_exist_is_one_sentence(
    snn_fly, monkeypatch, ros_environment
) -> None:
    ros_environment["ROS_DOMAIN_ID"] = "300"
    done = snn_fly()
    assert done.returncode == 2
    assert "ROS_DOMAIN_ID is '300'" in done.stderr


@pytest.mark.slow
def test_only_the_policy_that_was_pinned_flies(snn_fly, tmp_path: Path) -> None:
    report = f"report:={tmp_path / 'out'}"
    pin = hashlib.sha256(policy_path("").read_bytes()).hexdigest()
    done = snn_fly(f"policy_sha256:={pin[::-1]}", "duration:=1", report)
    assert done.returncode == 2
    assert f"has the hash {pin}, not {pin[::-1]} as policy_sha256 demands" in done.stderr
    assert not (tmp_path / "out" / "report.json").exists()
    done = snn_fly(f"policy_sha256:={pin}", "duration:=1", report)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "report.json").read_text())["policy_sha256"] == pin


@pytest.mark.parametrize(
    ("keystore", "sentence"),
    [("", "built without DDS security"), ("missing", "ROS_SECURITY_KEYSTORE")],
)
def test_security_that_cannot_be_had_is_not_done_without(
    snn_fly, ros_environment, tmp_path: Path, keystore: str, sentence: str
) -> None:
    (tmp_path / "enclaves").mkdir()
    ros_environment |= {
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_KEYSTORE": str(tmp_path / keystore),
    }
    done = snn_fly("duration:=2", f"report:={tmp_path / 'out'}")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("yaml", "sentence"),
    [
        ("snn_controller: [1, 2", "check the parameter file"),
        (
            "/**:\n  ros__parameters:\n    geofence: [-3.0, 3.0, -3.0, 3, -0.5, 3.0]",
            "'integer' do not belong at line_num 3); write all values of a list alike:"
            " among numbers with a point 3.0 instead of 3",
        ),
        (
            "/**: {ros__parameters: {geofence: [-3, 3, -3, 3, 0, 3]}}",
            "'geofence' must be of type list[float]; write a decimal point, as in 20.0",
        ),
        (
            "/**/flight_controller: {ros__parameters: {max_speed: 0.5}}",
            "section '**/flight_controller', but no node gets it; name one of: /**/snn_controller",
        ),
        ("snn_controller: {ros__parameters: {geofense: 1.0}}", "unknown parameter 'geofense'"),
        ("simulator: {ros__parameters: {physics_rate: 333.0}}", "physics_rate 333 Hz must be"),
        ("snn_controller: {ros__parameters: {hover_height: []}}", "'hover_height' has no value"),
        ("/**: {ros__parameters: {airframe: zeppelin}}", "unknown airframe 'zeppelin'"),
        ("/**: {ros__parameters: {odometry_rate: 150.0}}", "150 Hz"),
    ],
)
def test_bad_parameters_fly_nothing_and_show_no_traceback(
    snn_fly, tmp_path: Path, yaml: str, sentence: str
) -> None:
    file = tmp_path / "a folder with a long name" / ("x" * 100) / "params.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml)
    done = snn_fly(f"params_file:={file}", "duration:=2", f"report:={tmp_path / 'out'}")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("home", ["/proc", None])
def test_a_home_that_cannot_be_written_is_flown_without(
    snn_fly, ros_environment, tmp_path: Path, home: str | None
) -> None:
    for name in ("ROS_LOG_DIR", "ROS_HOME", "HOME"):
        ros_environment.pop(name, None)
    ros_environment |= {"HOME": home} if home else {}
    ros_environment["TMPDIR"] = str(tmp_path)
    done = snn_fly("duration:=1", f"report:={tmp_path / 'out'}")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = tmp_path.glob("ros-log-*")
    assert f"its logs are in {folder}" in done.stdout
    assert any(folder.iterdir())


def test_a_log_folder_that_cannot_be_made_names_its_variable(snn_fly, ros_environment) -> None:
    ros_environment["ROS_LOG_DIR"] = "/proc/log"
    done = snn_fly("duration:=1")
    assert done.returncode == 2
    assert "set ROS_LOG_DIR to a folder that can be written" in done.stderr


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_refused_before_the_flight(snn_fly) -> None:
    done = snn_fly("duration:=2", "report:=/proc/nowhere")
    assert done.returncode == 2
    assert "report folder /proc/nowhere cannot be written" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_altered_policy_flies_nothing_and_shows_no_traceback(snn_fly, tmp_path: Path) -> None:
    from snn_controller.paths import policy_path

    content = bytearray(policy_path("").read_bytes())
    content[len(content) // 2] ^= 1
    altered = tmp_path / "altered.onnx"
    altered.write_bytes(content)
    done = snn_fly(f"policy:={altered}", "duration:=2", f"report:={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "altered.onnx" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_no_node_outlives_the_launcher(ros_environment, tmp_path: Path, number: int) -> None:
    marker = os.getpid() * 1000 + number
    environment = {**ros_environment, "SNN_TEST_RUN": str(marker)}
    launcher = subprocess.Popen(
        [*COMMAND, "lockstep:=false", "duration:=60", f"report:={tmp_path / 'out'}"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert launcher.stdout is not None
        for line in launcher.stdout:
            if "/60 s" in line:
                break
        assert len(nodes_of(marker)) >= 2
        launcher.send_signal(number)
        deadline = monotonic() + 15.0
        while nodes_of(marker) and monotonic() < deadline:
            sleep(0.1)
        assert nodes_of(marker) == []
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        assert report["survived"] is False
    finally:
        launcher.kill()
        launcher.wait()
        for process in nodes_of(marker):
            os.kill(process, signal.SIGKILL)
    assert launcher.returncode != 0


def test_help_lists_every_argument(snn_fly) -> None:
    from snn_controller.bringup.arguments import ARGUMENTS

    done = snn_fly("--show-args")
    assert done.returncode == 0
    assert all(f"{argument.name}:=" in done.stdout for argument in ARGUMENTS)


def test_a_bag_that_has_no_place_is_one_sentence_at_once(snn_fly, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = snn_fly("record:=true", f"report:={tmp_path / 'file' / 'out'}")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr and "give report:=FOLDER" in done.stderr
