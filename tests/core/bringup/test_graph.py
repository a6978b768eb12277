from __future__ import annotations

from pathlib import Path

import pytest

from snn_controller.bringup.arguments import ARGUMENTS, parse_arguments
from snn_controller.bringup.graph import (
    CONTROLLER,
    RECORDER,
    SIMULATOR,
    VIEWER,
    fly_graph,
    loopback,
)
from snn_controller.control.trajectories import TASKS
from snn_controller.errors import UserError


def graph(**given: str):
    return {node.name: node for node in fly_graph(given, launcher_pid=42)}


def test_the_default_graph_is_a_simulator_then_a_managed_controller() -> None:
    nodes = fly_graph({}, launcher_pid=42)
    assert [node.name for node in nodes] == ["simulator", CONTROLLER]
    assert [node.managed for node in nodes] == [False, True]
    assert all(node.required and node.parameters["launcher_pid"] == 42 for node in nodes)


def test_recording_adds_a_recorder_that_the_controller_waits_for(tmp_path: Path) -> None:
    nodes = graph(record="true", report=str(tmp_path))
    assert nodes[CONTROLLER].parameters["await_nodes"] == RECORDER
    assert Path(nodes[RECORDER].parameters["folder"]).parent == tmp_path
    assert nodes[CONTROLLER].parameters["report"] == str(tmp_path)


def test_watching_adds_a_viewer_that_the_controller_waits_for() -> None:
    nodes = graph(foxglove="true", foxglove_port="9000")
    assert nodes[VIEWER].parameters["foxglove"] is True
    assert nodes[VIEWER].parameters["foxglove_host"] == "127.0.0.1"
    assert nodes[VIEWER].parameters["foxglove_port"] == 9000
    assert not nodes[VIEWER].required
    assert nodes[CONTROLLER].parameters["await_nodes"] == VIEWER
    assert graph(rviz="true")[VIEWER].parameters["foxglove"] is False
    assert VIEWER not in graph()


@pytest.mark.parametrize(
    ("given", "ticks"), [({}, 0), ({"foxglove": "true"}, 1), ({"foxglove": "1", "record": "1"}, 2)]
)
def test_whoever_listens_is_waited_for(given: dict[str, str], ticks: int, tmp_path: Path) -> None:
    nodes = graph(report=str(tmp_path), **given)
    assert nodes[CONTROLLER].parameters["tick_listeners"] == ticks
    assert nodes[CONTROLLER].parameters["listeners"] == 1 + ticks
    assert nodes["simulator"].parameters["listeners"] == 1 + ticks


def test_a_pinned_hash_reaches_the_controller_and_only_if_given() -> None:
    pin = "0" * 63 + "a"
    assert graph(policy_sha256=pin)[CONTROLLER].parameters["policy_sha256"] == pin
    assert "policy_sha256" not in graph()[CONTROLLER].parameters  # a parameter file may set it


def test_a_target_return_reaches_the_controller_and_only_if_given() -> None:
    assert graph(target_return="450")[CONTROLLER].parameters["target_return"] == 450.0
    assert "target_return" not in graph()[CONTROLLER].parameters
    with pytest.raises(UserError, match="target_return:=much must be a number"):
        graph(target_return="much")


@pytest.mark.parametrize("name", ["policy", "params_file"])
@pytest.mark.parametrize(
    "value", ["~nobody/x.onnx", "x" * 5000 + ".onnx", "a\0b.onnx", "/dev/zero"]
)
def test_impossible_file_names_are_refused_in_a_sentence(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"does not exist; give {name}:="):
        graph(**{name: value})


@pytest.mark.parametrize("task", TASKS)
def test_the_simulator_starts_where_the_task_begins(task: str) -> None:
    start = graph(task=task)["simulator"].parameters["start"]
    assert start == ("ground" if TASKS[task].from_ground else "hover")


def test_both_ends_agree_on_what_they_share() -> None:
    nodes = graph(seed="7", lockstep="false")
    for name in ("seed", "lockstep"):
        assert nodes["simulator"].parameters[name] == nodes[CONTROLLER].parameters[name]
    assert nodes[CONTROLLER].parameters["seed"] == 7
    assert nodes[CONTROLLER].parameters["lockstep"] is False


def test_a_flight_controller_needs_no_simulator_and_flies_in_real_time() -> None:
    nodes = graph(link="betaflight", endpoint="/dev/ttyACM0", auto_start="always")
    assert set(nodes) == {CONTROLLER}
    parameters = nodes[CONTROLLER].parameters
    assert parameters["lockstep"] is False and parameters["use_sim_time"] is False
    assert parameters["endpoint"] == "/dev/ttyACM0"
    assert parameters["auto_start"] == "always"
    assert graph()[CONTROLLER].parameters["auto_start"] == "simulated"


def test_betaflights_firmware_is_simulated_on_request() -> None:
    nodes = graph(link="betaflight", endpoint="sitl", record="true", report="/tmp/no_such_report")
    assert set(nodes) == {"firmware", RECORDER, CONTROLLER}
    parameters = nodes[CONTROLLER].parameters
    assert parameters["await_nodes"] == f"firmware_ready,{RECORDER}"
    assert parameters["endpoint"] == ""  # the link's default is where the firmware listens
    assert parameters["hover_thrust"] == 0.64
    with pytest.raises(UserError, match="endpoint:=sitl needs link:=betaflight"):
        graph(link="mavlink", endpoint="sitl")


def test_betaflights_firmware_may_fly_on_another_host() -> None:
    there = graph(link="betaflight", endpoint="sitl", part="simulator")
    assert set(there) == {"firmware"}
    here = graph(link="betaflight", endpoint="sitl:drone", part="controller")
    assert set(here) == {CONTROLLER}
    parameters = here[CONTROLLER].parameters
    assert parameters["endpoint"] == "tcp:drone:5761"
    assert parameters["await_nodes"] == "firmware_ready" and parameters["hover_thrust"] == 0.64
    with pytest.raises(UserError, match="needs part:=controller here and part:=simulator there"):
        graph(link="betaflight", endpoint="sitl:drone")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"task": "loop"}, "unknown task 'loop'; choose one of: hover"),
        ({"link": "px5"}, "unknown link 'px5'"),
        ({"auto_start": "yes"}, "unknown auto_start 'yes'; choose one of: simulated"),
        ({"duration": "long"}, "duration:=long must be a number"),
        ({"duration": "-1"}, "must be 0.1 to"),
        ({"duration": "nan"}, "must be 0.1 to"),
        ({"seed": "1.5"}, "seed:=1.5 must be a whole number"),
        ({"lockstep": "maybe"}, "lockstep:=maybe must be true or false"),
        ({"policy": "/nowhere/p.onnx"}, "/nowhere/p.onnx does not exist"),
        ({"params_file": "/nowhere/p.yaml"}, "/nowhere/p.yaml does not exist"),
    ],
)
def test_a_bad_value_is_one_sentence(given: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        fly_graph(given, launcher_pid=42)


def test_an_unknown_argument_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown argument 'dration'; did you mean 'duration'"):
        parse_arguments(["dration:=5"])
    with pytest.raises(UserError, match="name:=value"):
        parse_arguments(["--duration=5"])


def test_every_argument_is_described() -> None:
    assert all(argument.description for argument in ARGUMENTS)
    assert len({argument.name for argument in ARGUMENTS}) == len(ARGUMENTS)


def test_a_bag_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    graph(report=str(tmp_path))
    with pytest.raises(UserError, match="bag exists already"):
        graph(record="true", report=str(tmp_path))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}),
        ({"ROS_DISTRO": "jazzy"}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}),
        ({"ROS_DISTRO": "humble"}, {"ROS_LOCALHOST_ONLY": "1"}),
        ({"ROS_LOCALHOST_ONLY": "0", "ROS_DISTRO": "humble"}, {}),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, {}),
    ],
)
def test_dds_stays_on_this_machine_unless_a_range_was_chosen(environment, expected) -> None:
    assert loopback(environment) == expected


def test_two_machines_share_one_graph() -> None:
    whole = graph(seed="3")
    there, here = graph(seed="3", part=SIMULATOR), graph(seed="3", part="controller")
    assert there == {SIMULATOR: whole[SIMULATOR]}
    assert set(here) == {CONTROLLER}
    assert here[CONTROLLER].parameters["listeners"] == whole[CONTROLLER].parameters["listeners"]


def test_a_simulator_alone_is_refused_where_a_flight_controller_flies() -> None:
    with pytest.raises(UserError, match="part:=simulator needs link:=sim"):
        graph(part=SIMULATOR, link="mavlink")


def test_time_does_not_begin_without_the_observers() -> None:
    nodes = graph(observers="judge, second")
    assert nodes[SIMULATOR].parameters["listeners"] == 3
    assert nodes[CONTROLLER].parameters["await_nodes"] == "judge,second"
    assert nodes[CONTROLLER].parameters["tick_listeners"] == 2
    assert graph(observers="judge", lockstep="false")[SIMULATOR].parameters["listeners"] == 0
