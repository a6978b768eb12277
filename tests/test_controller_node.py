"""The controller node on real DDS: lifecycle, ticks, refusals and silence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, time_ns

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from conftest import TICK_NS, hovering, sample  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from snn_controller.action import Command  # noqa: E402
from snn_controller.flight import Mode  # noqa: E402
from snn_controller.nodes.controller_node import ControllerNode  # noqa: E402
from snn_controller.nodes.messages import (  # noqa: E402
    motors_from_message,
    ns_to_stamp,
    odometry_to_message,
    stamp_to_ns,
)
from snn_controller.nodes.node_main import EXIT_USER_ERROR  # noqa: E402
from snn_controller.state import State  # noqa: E402
from std_msgs.msg import Float32MultiArray, UInt8MultiArray  # noqa: E402

FIRST = 1_000_000_000


class Estimator(Node):
    """Sends odometry and keeps what the controller publishes."""

    def __init__(self) -> None:
        super().__init__("estimator")
        self.odometry = self.create_publisher(Odometry, "odom", QoSProfile(depth=10))
        self.goal = self.create_publisher(PoseStamped, "goal", 1)
        self.received: dict[str, list] = {}
        for kind, topic in (
            (JointState, "motors"),
            (DiagnosticArray, "/diagnostics"),
            (UInt8MultiArray, "snn_controller/spikes"),
            (Float32MultiArray, "snn_controller/membranes"),
        ):
            self.received[topic] = []
            self.create_subscription(kind, topic, self.received[topic].append, 100)

    def send(self, state: State, stamp: int, frame: str = "odom") -> None:
        self.odometry.publish(odometry_to_message(sample(state, stamp, frame)))

    @property
    def stamps(self) -> list[int]:
        return [stamp_to_ns(message.header.stamp) for message in self.received["motors"]]


class Graph:
    """A controller and an estimator on one executor."""

    def __init__(self, report: Path, parameters: tuple[str, ...]) -> None:
        # /clock is never published here, so the node's time stays zero and no sample is old
        fixed = ("use_sim_time:=true", "exit_when_done:=true", "plot:=false", f"report:={report}")
        given = {word.partition(":=")[0]: word for word in (*fixed, *parameters)}.values()
        rclpy.init(args=["--ros-args", *(word for p in given for word in ("-p", p))])
        self.controller = ControllerNode()
        self.estimator = Estimator()
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.controller)
        self.executor.add_node(self.estimator)
        self.report = report

    def activate(self) -> None:
        self.controller.trigger_configure()
        self.controller.trigger_activate()
        assert self.spin_until(lambda: self.estimator.odometry.get_subscription_count() == 1)

    def spin_until(self, condition: Callable[[], object], seconds: float = 10.0) -> bool:
        deadline = monotonic() + seconds
        while monotonic() < deadline and not condition():
            self.executor.spin_once(timeout_sec=0.02)
        return bool(condition())

    def tick(self, number: int, state: State | None = None) -> int:
        """Send odometry and wait for the answer to it."""
        stamp = FIRST + number * TICK_NS
        self.estimator.send(state or hovering(), stamp)
        assert self.spin_until(lambda: stamp in self.estimator.stamps)
        return stamp

    def last_command(self) -> Command:
        """Return the newest command once nothing more comes."""
        self.spin_until(lambda: False, seconds=0.2)
        command = motors_from_message(self.estimator.received["motors"][-1])
        assert command is not None
        return command

    def read_report(self) -> dict:
        return json.loads((self.report / "report.json").read_text())

    def close(self) -> None:
        self.controller.close("test over")
        self.executor.shutdown()
        self.controller.destroy_node()
        self.estimator.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def graph(ros_environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Graph]]:
    made: list[Graph] = []

    def make(*parameters: str) -> Graph:
        made.append(Graph(tmp_path / "report", parameters))
        return made[-1]

    yield make
    for each in made:
        each.close()
    rclpy.try_shutdown()


def test_nothing_is_commanded_before_activation(graph) -> None:
    g = graph()
    g.controller.trigger_configure()
    for number in range(5):
        g.estimator.send(hovering(), FIRST + number * TICK_NS)
    g.spin_until(lambda: False, seconds=0.3)
    assert g.estimator.received["motors"] == []


def test_each_odometry_is_answered_with_its_own_stamp(graph) -> None:
    g = graph()
    g.activate()
    sent = [g.tick(number) for number in range(5)]
    assert g.estimator.stamps == sent
    for message in g.estimator.received["motors"]:
        command = motors_from_message(message)
        assert command is not None
        assert not command.stop
        assert message.name == ["m1", "m2", "m3", "m4"]


def test_odometry_sent_twice_gets_the_same_answer_and_no_second_tick(graph) -> None:
    g = graph()
    g.activate()
    stamp = g.tick(0)
    g.estimator.send(hovering(), stamp)
    assert g.spin_until(lambda: len(g.estimator.stamps) == 2)
    first, second = g.estimator.received["motors"]
    assert first.position == second.position
    g.tick(1)
    assert g.controller._flight.log.count == 2


def test_activation_resets_the_neurons(graph) -> None:
    g = graph()

    def fly() -> list:
        state = State(
            np.array([0.1, 0.0, 1.0]), np.array([0, 0, 0, 1.0]), np.full(3, 0.2), np.zeros(3)
        )
        g.estimator.received["motors"].clear()
        for number in range(5):
            g.tick(number, state)
        return [list(message.position) for message in g.estimator.received["motors"]]

    g.activate()
    first = fly()
    g.controller.trigger_deactivate()
    assert g.last_command().stop
    g.controller.trigger_activate()
    assert g.spin_until(lambda: g.estimator.odometry.get_subscription_count() == 1)
    assert fly() == first


def test_the_flight_ends_by_itself_with_a_report(graph) -> None:
    g = graph("duration:=0.5")
    g.activate()
    for number in range(51):
        g.tick(number)
    assert g.spin_until(lambda: g.controller.exit_code is not None)
    report = g.read_report()
    assert g.controller.exit_code == 0
    assert report["survived"] is True
    assert report["ticks"] == 51
    assert report["policy_sha256"] == g.controller._flight.policy.sha256
    assert {"p50", "p99", "max"} <= set(report["latency_ms"])
    assert g.last_command().stop


def test_spikes_membranes_and_diagnostics_are_published(graph) -> None:
    g = graph("duration:=20.0")
    g.activate()
    for number in range(102):
        g.tick(number)
    received = g.estimator.received
    assert g.spin_until(lambda: received["/diagnostics"])
    names = [status.name for status in received["/diagnostics"][0].status]
    assert names == [f"snn_controller: {part}" for part in ("flight", "timing", "neurons")]
    keys = {pair.key for status in received["/diagnostics"][0].status for pair in status.values}
    assert {"latency_ms_p50", "tick_period_ms_p99", "missed_ticks"} <= keys
    assert {"synaptic_ops_per_tick"} <= keys
    layers = g.controller._flight.policy.metadata.layers
    sizes = [layer.neurons for layer in layers]
    for topic in ("snn_controller/spikes", "snn_controller/membranes"):
        assert g.spin_until(lambda topic=topic: received[topic])
        assert 8 <= len(received[topic]) <= 11  # 10 Hz over one second
    message = received["snn_controller/spikes"][-1]
    assert [dim.size for dim in message.layout.dim] == sizes
    assert set(message.data) <= {0, 1}


def test_a_goal_moves_the_reference_and_a_foreign_frame_does_not(graph) -> None:
    g = graph()
    g.activate()
    g.tick(0)
    for frame, expected in (("map", 0.0), ("odom", 0.5)):
        goal = PoseStamped()
        goal.header.frame_id = frame
        goal.pose.position.x, goal.pose.position.z = 0.5, 1.0
        assert g.spin_until(lambda: g.estimator.goal.get_subscription_count() == 1)
        g.estimator.goal.publish(goal)
        g.spin_until(lambda: False, seconds=0.2)
        stamps = len(g.estimator.stamps)
        g.tick(stamps)
        assert g.controller._flight.log.ticks[-1].reference.position[0] == expected


@pytest.mark.parametrize(
    ("state", "frame", "words"),
    [
        (State.at_rest(np.array([0.0, 0.0, np.nan])), "odom", "not finite"),
        (hovering(), "map_ned", "'map_ned'"),
        (State.at_rest(np.array([0.0, 0.0, 0.01])), "odom", "starts in the air"),
    ],
)
def test_unfit_odometry_at_the_start_keeps_the_motors_off(graph, state, frame, words) -> None:
    g = graph()
    g.activate()
    g.estimator.send(state, FIRST, frame)
    assert g.spin_until(lambda: g.controller.exit_code is not None)
    assert g.controller.exit_code == 1
    assert words in g.read_report()["failure"]
    for message in g.estimator.received["motors"]:
        assert motors_from_message(message).stop


def test_odometry_on_another_clock_is_stale(graph) -> None:
    g = graph("use_sim_time:=false")
    g.activate()
    g.estimator.send(hovering(), FIRST)
    assert g.spin_until(lambda: g.controller.exit_code is not None)
    assert "share one clock" in g.read_report()["failure"]
    assert all(motors_from_message(m).stop for m in g.estimator.received["motors"])


def test_silence_in_flight_descends_then_stops(graph) -> None:
    g = graph("use_sim_time:=false", "lockstep:=false", "descent_time:=0.3")
    g.activate()
    for _ in range(5):
        stamp = time_ns()
        g.estimator.send(hovering(), stamp)
        assert g.spin_until(lambda stamp=stamp: stamp in g.estimator.stamps)
    assert g.spin_until(lambda: g.controller.exit_code is not None, seconds=5.0)
    assert g.controller.exit_code == 1
    report = g.read_report()
    assert [entry["mode"] for entry in report["modes"]] == ["policy", "descent", "stopped"]
    assert g.last_command().stop
    commands = [motors_from_message(message) for message in g.estimator.received["motors"]]
    assert any(np.ptp(c.values) == 0.0 and not c.stop for c in commands)


def test_a_simulator_that_stalls_is_waited_for(graph) -> None:
    g = graph("lockstep:=false")
    g.activate()
    g.tick(0)
    g.spin_until(lambda: False, seconds=0.5)  # wall time passes, simulated time does not
    g.tick(1)
    assert [tick.mode for tick in g.controller._flight.log.ticks] == ["policy", "policy"]


def test_a_simulator_whose_clock_runs_on_without_odometry_is_silent(graph) -> None:
    g = graph("lockstep:=false")
    g.activate()
    last = g.tick(0)
    clock = g.estimator.create_publisher(Clock, "/clock", 1)
    assert g.spin_until(lambda: clock.get_subscription_count() > 0)
    clock.publish(Clock(clock=ns_to_stamp(last + 20 * TICK_NS)))
    assert g.spin_until(lambda: g.controller._flight.mode is Mode.DESCENT)


def test_odometry_that_never_comes_is_one_sentence(graph, capfd) -> None:
    g = graph("startup_timeout:=0.3")
    g.activate()
    assert g.spin_until(lambda: g.controller.exit_code is not None)
    assert g.controller.exit_code == 1
    assert "no odometry on /odom" in g.read_report()["failure"]


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("policy:=/nowhere/policy.onnx", "/nowhere/policy.onnx"),
        ("airframe:=cf2x", "crazyflie21"),
        ("odometry_rate:=150.0", "150 Hz"),
        ("policy_sha256:=00ff", "00ff"),
        ("geofence:=[1.0, -1.0, -1.0, 1.0, 0.0, 2.0]", "geofence"),
        ("hover_height:=9.0", "geofence"),
    ],
)
def test_what_is_not_fit_to_fly_fails_configure(graph, capfd, parameter, words) -> None:
    g = graph(parameter)
    g.controller.trigger_configure()
    assert g.controller.exit_code == EXIT_USER_ERROR
    errors = [line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line]
    assert len(errors) == 1
    assert words in errors[0]
    assert g.estimator.received["motors"] == []


def test_a_second_controller_in_the_domain_is_refused(graph, capfd) -> None:
    g = graph()
    g.activate()
    second = ControllerNode()
    try:
        second.trigger_configure()
        assert second.exit_code == EXIT_USER_ERROR
        assert "already publishes commands" in capfd.readouterr().err
    finally:
        second.destroy_node()


def test_an_impossible_transition_in_flight_is_refused_and_the_flight_goes_on(graph) -> None:
    g = graph()
    g.activate()
    g.tick(0)
    client = g.estimator.create_client(ChangeState, "/snn_controller/change_state")
    assert g.spin_until(client.service_is_ready)
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP, 77):
        request = ChangeState.Request(transition=Transition(id=transition))
        answer = client.call_async(request)
        assert g.spin_until(answer.done)
        assert answer.result().success is False
    g.tick(1)
    assert g.controller.exit_code is None
    assert not g.last_command().stop


def test_a_closed_node_leaves_the_topic_to_the_next(graph) -> None:
    g = graph()
    g.activate()
    g.controller.close("test over")
    second = ControllerNode()
    try:
        assert g.spin_until(lambda: g.estimator.count_publishers("motors") == 0)
        second.trigger_configure()
        assert second.exit_code is None
    finally:
        second.close("test over")
        second.destroy_node()


def test_a_node_that_was_cleaned_up_can_fly_again(graph) -> None:
    g = graph()
    for number in range(2):
        g.activate()
        g.tick(number)
        g.controller.trigger_deactivate()
        g.controller.trigger_cleanup()
        assert g.spin_until(lambda: g.estimator.count_publishers("motors") == 0)


def test_every_activation_leaves_a_report_of_its_own(graph, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    g = graph("report:=''")
    g.activate()
    g.tick(0)
    g.controller.trigger_deactivate()
    g.spin_until(lambda: False, seconds=1.1)  # folders are named by the second
    g.controller.trigger_activate()
    g.tick(1)
    g.controller.trigger_deactivate()
    assert len(list((tmp_path / "flights").glob("*/report.json"))) == 2


def test_a_launched_node_that_nobody_activates_ends(graph, monkeypatch, capfd) -> None:
    monkeypatch.setattr("snn_controller.nodes.managed_node.LAUNCHER_PATIENCE", 0.5)
    g = graph()
    g.controller.trigger_configure()
    assert g.spin_until(lambda: g.controller.exit_code is not None)
    assert g.controller.exit_code == EXIT_USER_ERROR
    assert "nobody has activated this node" in capfd.readouterr().err


def test_a_stamp_from_the_future_does_not_outdate_what_follows(graph) -> None:
    g = graph("use_sim_time:=false", "lockstep:=false")
    g.activate()
    for ahead in (0, 3600 * 10**9, 0):
        g.spin_until(lambda: False, seconds=0.02)  # at least a control period
        stamp = time_ns() + ahead
        g.estimator.send(hovering(), stamp)
        assert g.spin_until(lambda stamp=stamp: stamp in g.estimator.stamps)
    modes = [tick.mode for tick in g.controller._flight.log.ticks]
    assert modes == ["policy", "descent", "fallback"]


@pytest.mark.parametrize(("ahead", "mode"), [(0.5, Mode.POLICY), (1000.0, Mode.DESCENT)])
def test_a_simulators_clock_may_be_late_but_not_by_much(graph, ahead: float, mode: Mode) -> None:
    g = graph("lockstep:=false")
    g.activate()
    clock = g.estimator.create_publisher(Clock, "/clock", 1)
    assert g.spin_until(lambda: clock.get_subscription_count() > 0)
    clock.publish(Clock(clock=ns_to_stamp(g.tick(0))))
    assert g.spin_until(lambda: g.controller.get_clock().now().nanoseconds > 0)
    g.tick(round(ahead * 100))
    assert g.controller._flight.mode is mode


def test_losing_the_odometry_is_announced_at_once(graph, capfd) -> None:
    g = graph("use_sim_time:=false", "lockstep:=false", "descent_time:=5.0")
    g.activate()
    stamp = time_ns()
    g.estimator.send(hovering(), stamp)
    assert g.spin_until(lambda: stamp in g.estimator.stamps)
    assert g.spin_until(lambda: g.estimator.received["/diagnostics"], seconds=2.0)
    status = g.estimator.received["/diagnostics"][0].status[0]
    assert status.message.startswith("descent: no odometry")
    assert capfd.readouterr().err.count("descent: no odometry") == 1
