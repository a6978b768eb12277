from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from snn_controller.nodes.ros.conversions import (
    membranes_to_message,
    motors_from_message,
    motors_to_message,
    ns_to_stamp,
    odometry_to_message,
    spikes_to_message,
    thrust_rates_from_message,
    thrust_rates_to_message,
)
from snn_controller.safety.estimate import check_odometry
from snn_controller.safety.guards import Limits
from snn_controller.vehicle.action import Command, stop_command
from snn_controller.vehicle.state import State, odometry_from_message, stamp_to_ns
from support.states import sample

NUMBERS = st.floats(-10.0, 10.0)


@given(st.integers(0, 2**60))
def test_stamps_round_trip(nanoseconds: int) -> None:
    assert stamp_to_ns(ns_to_stamp(nanoseconds % (2**31 * 10**9))) == nanoseconds % (2**31 * 10**9)


@given(st.lists(NUMBERS, min_size=13, max_size=13))
def test_odometry_round_trips(values: list[float]) -> None:
    quaternion = np.array(values[3:7]) + np.array([0.0, 0.0, 0.0, 20.0])
    quaternion /= np.linalg.norm(quaternion)
    state = State(np.array(values[:3]), quaternion, np.array(values[7:10]), np.array(values[10:]))
    again = odometry_from_message(odometry_to_message(sample(state, 1234567890)))
    assert again.stamp == 1234567890
    assert (again.frame, again.child_frame) == ("odom", "base_link")
    assert np.allclose(again.state.position, state.position)
    assert np.allclose(again.state.quaternion, quaternion)
    assert np.allclose(again.state.velocity, state.velocity)
    assert np.allclose(again.state.body_rates, state.body_rates)


@pytest.mark.parametrize("w", [0.0, 1e-200, 1.5e-162, np.nan, np.inf])
def test_an_attitude_without_length_passes_through_for_the_guards(w: float) -> None:
    message = odometry_to_message(sample(State.at_rest(np.ones(3)), 5))
    message.pose.pose.orientation.w = w
    odometry = odometry_from_message(message)
    assert check_odometry(odometry, 5, Limits()) is not None


def test_the_twist_of_odometry_is_in_the_body() -> None:
    quarter = np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])  # heading along world y
    state = State(np.zeros(3), quarter, np.array([0.0, 2.0, 0.0]), np.zeros(3))
    twist = odometry_to_message(sample(state, 0)).twist.twist.linear
    assert (twist.x, twist.y, twist.z) == pytest.approx((2.0, 0.0, 0.0))


def test_motor_commands_are_read_by_name_in_any_order() -> None:
    message = motors_to_message(Command("motors", np.array([0.1, 0.2, 0.3, 0.4])), 5)
    message.name, message.position = message.name[::-1], message.position[::-1]
    command = motors_from_message(message)
    assert command is not None
    assert command.values == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_stop_survives_the_wire_for_both_kinds() -> None:
    motors = motors_from_message(motors_to_message(stop_command("motors"), 0))
    rates = thrust_rates_from_message(
        thrust_rates_to_message(stop_command("thrust_rates"), 0, "base_link")
    )
    assert motors is not None
    assert motors.stop
    assert rates.stop


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_stops_the_motors(bad: float) -> None:
    message = thrust_rates_to_message(Command("thrust_rates", np.array([9.8, 0, bad, 0])), 0, "b")
    assert thrust_rates_from_message(message).stop
    motors = motors_from_message(motors_to_message(Command("motors", np.full(4, bad)), 0))
    assert motors is not None
    assert motors.stop


def test_what_is_no_motor_command_is_refused() -> None:
    message = motors_to_message(Command("motors", np.zeros(4)), 0)
    message.name = ["m1", "m2", "m3", "rudder"]
    assert motors_from_message(message) is None
    message.position = [0.0]
    assert motors_from_message(message) is None


def test_layers_are_laid_end_to_end() -> None:
    spikes = {"a": np.array([True, False, True]), "b": np.array([False, True])}
    message = spikes_to_message(spikes)
    assert list(message.data) == [1, 0, 1, 0, 1]
    assert [(d.label, d.size) for d in message.layout.dim] == [("a", 3), ("b", 2)]
    membranes = {"a": np.array([0.5, -1.0], dtype=np.float32)}
    assert list(membranes_to_message(membranes).data) == [0.5, -1.0]
