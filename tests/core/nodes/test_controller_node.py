"""The controller node on real DDS: lifecycle, ticks and refusals."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from sensor_msgs.msg import Imu  # noqa: E402

from snn_controller.errors import UserError  # noqa: E402
from snn_controller.nodes.controller_node import ControllerNode  # noqa: E402
from snn_controller.nodes.ros.conversions import motors_from_message  # noqa: E402
from snn_controller.nodes.ros.main import EXIT_USER_ERROR  # noqa: E402
from snn_controller.safety import Verdict  # noqa: E402
from snn_controller.vehicle.state import State  # noqa: E402
from support.node_graph import FIRST  # noqa: E402
from support.states import TICK_NS, hovering  # noqa: E402


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


@pytest.mark.slow
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
        g.tick(number, hovering((1e-6 * number, 0.0, 1.0)))  # nothing that flies stands still
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
    keys = {pair.key for status in received["/diagnostics"][-1].status for pair in status.values}
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


def told(g) -> list[tuple[bytes, str]]:
    """Level and message of the flight's status in all diagnostics so far."""
    statuses = [message.status[0] for message in g.estimator.received["/diagnostics"]]
    return [(status.level, status.message) for status in statuses]


def test_diagnostics_go_on_without_odometry_and_say_so(graph) -> None:
    g = graph("auto_start:=never")
    g.activate()
    silent = "disarmed: no new odometry for 1."
    # None has ever come.
    assert g.spin_until(lambda: told(g), seconds=2.0)
    assert told(g)[-1][0] == DiagnosticStatus.WARN and told(g)[-1][1].startswith(silent)
    # It comes: that is told before long, once a second.
    started, number = monotonic(), 0
    while monotonic() - started < 2.5:
        g.tick(number)
        number += 1
    assert told(g)[-1] == (DiagnosticStatus.OK, "disarmed: ok")
    # It stops.
    before = len(told(g))
    assert g.spin_until(lambda: told(g)[-1][0] == DiagnosticStatus.WARN, seconds=2.0)
    assert told(g)[-1][1].startswith(silent)
    g.spin_until(lambda: False, seconds=3.5)
    assert 4 <= len(told(g)) - before <= 6
    assert told(g)[-1][1].startswith("disarmed: no new odometry for ")


def test_silence_is_told_beside_another_verdict(graph) -> None:
    g = graph("auto_start:=never")
    g.activate()
    g.tick(0)
    assert not g.call("takeoff").success
    g.controller._flight.verdict = Verdict("battery", "the battery is low")
    assert g.spin_until(lambda: "no new odometry" in (told(g) or [(b"", "")])[-1][1], seconds=2.5)
    level, message = told(g)[-1]
    assert level == DiagnosticStatus.ERROR
    assert message.startswith("disarmed: the battery is low; no new odometry for 1.")


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


def test_an_imu_without_accelerometer_is_left_out(graph) -> None:
    g = graph("auto_start:=never")
    g.activate()
    imu = g.estimator.create_publisher(Imu, "imu", 10)
    assert g.spin_until(imu.get_subscription_count)
    without = Imu()
    without.linear_acceleration_covariance[0] = -1.0
    heard = Imu()
    heard.linear_acceleration.z = 9.81
    for message, force in ((without, None), (heard, [0.0, 0.0, 9.81]), (without, [0.0, 0.0, 9.81])):
        imu.publish(message)
        g.spin_until(lambda: False, seconds=0.2)
        told = g.controller._loop.specific_force
        assert (None if told is None else told.tolist()) == force


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("policy:=/nowhere/policy.onnx", "/nowhere/policy.onnx"),
        ("airframe:=cf2x", "crazyflie21"),
        ("odometry_rate:=150.0", "150 Hz"),
        ("policy_sha256:=x00ff", "x00ff' is no hash; give the 64 hexadecimal digits"),
        (f"policy_sha256:={'0f' * 32}", f"not {'0f' * 32} as policy_sha256 demands"),
        ("geofence:=[1.0, -1.0, -1.0, 1.0, 0.0, 2.0]", "geofence"),
        ("hover_height:=9.0", "geofence"),
        ("link:=betaflight", "link 'betaflight' takes thrust_rates commands, but policy"),
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


def test_a_second_node_of_the_same_name_is_refused(graph) -> None:
    graph()
    for _ in range(2):
        with pytest.raises(UserError, match=r"another node /snn_controller is up in ROS_DOMAIN_ID"):
            ControllerNode()


@pytest.fixture
def any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nodes of one name meet, as those of two machines do."""
    claim = SimpleNamespace(release=lambda: None)
    monkeypatch.setattr("snn_controller.nodes.ros.lifecycle.NodeClaim", lambda node: claim)


@pytest.mark.usefixtures("any_name")
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


@pytest.mark.usefixtures("any_name")
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
    monkeypatch.setattr("snn_controller.nodes.ros.lifecycle.LAUNCHER_PATIENCE", 0.5)
    g = graph()
    g.controller.trigger_configure()
    assert g.spin_until(lambda: g.controller.exit_code is not None)
    assert g.controller.exit_code == EXIT_USER_ERROR
    assert "nobody has activated this node" in capfd.readouterr().err
