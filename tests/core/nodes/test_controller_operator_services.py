"""What an operator asks of the controller node, on real services."""

from __future__ import annotations

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from sensor_msgs.msg import Imu  # noqa: E402

from snn_controller.nodes.controller.operator_services import SERVICES  # noqa: E402
from snn_controller.nodes.ros.conversions import motors_from_message  # noqa: E402
from snn_controller.safety.state_machine import OPERATOR_EVENTS, Mode  # noqa: E402
from support.node_graph import FIRST, Graph  # noqa: E402
from support.states import TICK_NS, hovering  # noqa: E402

GROUND = hovering((0.0, 0.0, 0.0125))
OPERATED = "auto_start:=never"


def stand(g: Graph, ticks: int, first: int = 0) -> int:
    for number in range(first, first + ticks):
        g.tick(number, GROUND)
    return first + ticks


def test_every_operator_event_has_a_service() -> None:
    assert set(SERVICES.values()) == set(OPERATOR_EVENTS)


def test_nothing_is_done_before_activation(graph) -> None:
    g = graph(OPERATED)
    g.controller.trigger_configure()
    answer = g.call("arm")
    assert not answer.success
    assert "activate" in answer.message


def test_arm_take_off_and_kill(graph) -> None:
    g = graph(OPERATED)
    g.activate()
    number = stand(g, 3)
    assert g.call("arm").success
    number = stand(g, 60, number)
    assert g.controller._flight.mode is Mode.ARMED
    assert all(motors_from_message(m).stop for m in g.estimator.received["motors"])
    assert g.call("takeoff").success
    stand(g, 3, number)
    assert not g.last_command().stop
    assert g.call("kill").success
    assert g.last_command().stop
    assert g.spin_until(lambda: g.controller.exit_code is not None)
    assert "operator killed" in g.read_report()["modes"][-1]["verdict"]


def test_refusals_say_why(graph, capfd) -> None:
    g = graph(OPERATED)
    g.activate()
    for service, words in (
        ("arm", "no odometry has come yet"),
        ("takeoff", "arm it first"),
        ("land", "refused in state disarmed"),
        ("disarm", "disarmed already"),
        ("pilot_takeover", "only an armed drone"),
    ):
        answer = g.call(service)
        assert not answer.success
        assert words in answer.message
        assert answer.message in capfd.readouterr().err
    assert g.controller._flight.mode is Mode.DISARMED


def test_arming_is_refused_where_the_accelerometer_points_down(graph) -> None:
    g = graph(OPERATED)
    g.activate()
    imu = g.estimator.create_publisher(Imu, "imu", 1)
    assert g.spin_until(lambda: imu.get_subscription_count() > 0)
    upside_down = Imu()
    upside_down.linear_acceleration.z = -9.81
    imu.publish(upside_down)
    assert g.spin_until(lambda: g.controller._loop.specific_force is not None)
    stand(g, 2)
    answer = g.call("arm")
    assert not answer.success
    assert "FRD or NED" in answer.message


def test_a_simulation_waits_for_no_operator_but_a_session_does(graph) -> None:
    g = graph(OPERATED, "startup_timeout:=0.2")
    g.activate()
    g.spin_until(lambda: False, seconds=0.5)
    assert g.controller.exit_code is None  # no odometry yet, and nobody has asked for anything


def test_the_simulators_link_is_lost_when_nobody_listens_any_more(graph) -> None:
    g = graph("lockstep:=false")
    g.activate()
    state = hovering()
    for number in range(3):
        g.tick(number, state)
    for subscription in list(g.estimator.subscriptions):
        g.estimator.destroy_subscription(subscription)
    g.spin_until(lambda: False, seconds=0.6)
    for number in range(3, 8):
        g.estimator.send(state, FIRST + number * TICK_NS)
        g.spin_until(lambda: False, seconds=0.03)
    assert g.controller._flight.mode is Mode.LAND
    assert "has not been heard" in g.controller._flight.verdict.reason
    assert np.isfinite(g.controller._flight.command.values).all()
