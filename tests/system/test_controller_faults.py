"""The controller node when its odometry or its clock is at fault."""

from __future__ import annotations

from time import time_ns

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from rosgraph_msgs.msg import Clock  # noqa: E402

from snn_controller.nodes.ros.conversions import motors_from_message, ns_to_stamp  # noqa: E402
from snn_controller.safety.state_machine import Mode  # noqa: E402
from snn_controller.vehicle.state import State, stamp_to_ns  # noqa: E402
from support.node_graph import FIRST  # noqa: E402
from support.states import TICK_NS, hovering  # noqa: E402


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
    assert [entry["mode"] for entry in report["modes"]] == ["policy", "descent", "killed"]
    assert g.last_command().stop
    # commands of the descent answer no odometry
    blind = [m for m in g.estimator.received["motors"] if stamp_to_ns(m.header.stamp) > stamp]
    assert any(not motors_from_message(message).stop for message in blind)


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


def test_a_stamp_from_the_future_does_not_outdate_what_follows(graph) -> None:
    g = graph("use_sim_time:=false", "lockstep:=false")
    g.activate()
    hour = 3600 * 10**9
    for ahead in (0, hour, hour + 1, 0, 0, 0):  # one bad sample is let pass, three good ones count
        g.spin_until(lambda: False, seconds=0.02)  # at least a control period
        stamp = time_ns() + ahead
        g.estimator.send(hovering(), stamp)
        assert g.spin_until(lambda stamp=stamp: stamp in g.estimator.stamps)
    modes = [tick.mode for tick in g.controller._flight.log.ticks]
    assert modes == ["policy", *["descent"] * 3, "fallback"]


@pytest.mark.parametrize(("ahead", "mode"), [(0.5, Mode.POLICY), (1000.0, Mode.DESCENT)])
def test_a_simulators_clock_may_be_late_but_not_by_much(graph, ahead: float, mode: Mode) -> None:
    g = graph("lockstep:=false")
    g.activate()
    clock = g.estimator.create_publisher(Clock, "/clock", 1)
    assert g.spin_until(lambda: clock.get_subscription_count() > 0)
    clock.publish(Clock(clock=ns_to_stamp(g.tick(0))))
    assert g.spin_until(lambda: g.controller.get_clock().now().nanoseconds > 0)
    for number in range(2):
        g.tick(round(ahead * 100) + number)
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
