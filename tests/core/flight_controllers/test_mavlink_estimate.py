from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("pymavlink")

from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.mavlink.codec import setpoint
from snn_controller.flight_controllers.mavlink.streams import Pair, from_odometry
from snn_controller.flight_controllers.mavlink.vehicle import MavlinkAutopilot
from snn_controller.safety.estimate import check_odometry
from snn_controller.safety.guards import Limits
from support.mavlink_samples import NAMES, received


def odometry_message(**changes):
    fields = dict(
        time_usec=1,
        frame_id=common.MAV_FRAME_LOCAL_NED,
        child_frame_id=common.MAV_FRAME_BODY_FRD,
        x=1.0,
        y=2.0,
        z=-3.0,
        q=[math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)],  # heading east
        vx=4.0,
        vy=0.0,
        vz=0.5,
        rollspeed=0.1,
        pitchspeed=0.2,
        yawspeed=0.3,
        pose_covariance=[math.nan] * 21,
        velocity_covariance=[math.nan] * 21,
    )
    return common.MAVLink_odometry_message(**(fields | changes))


def test_odometry_turns_to_enu_and_flu() -> None:
    sample = from_odometry(received(odometry_message()), 7, NAMES)
    assert (sample.stamp, sample.frame, sample.child_frame) == (7, "odom", "base_link")
    np.testing.assert_allclose(sample.state.position, [2.0, 1.0, 3.0])
    np.testing.assert_allclose(sample.state.rotation, np.eye(3), atol=1e-7)  # along ENU's x
    np.testing.assert_allclose(sample.state.velocity, [4.0, 0.0, -0.5], atol=1e-6)
    np.testing.assert_allclose(sample.state.body_rates, [0.1, -0.2, -0.3], atol=1e-7)
    assert sample.position_deviation == sample.velocity_deviation == 0.0


@pytest.mark.parametrize("frame", [common.MAV_FRAME_LOCAL_NED, common.MAV_FRAME_LOCAL_FRD])
def test_velocity_in_the_world_is_not_turned_by_the_attitude(frame: int) -> None:
    message = odometry_message(frame_id=frame, child_frame_id=frame, vx=0.0, vy=4.0)
    np.testing.assert_allclose(
        from_odometry(received(message), 0, NAMES).state.velocity, [4.0, 0.0, -0.5], atol=1e-6
    )


def test_covariances_become_the_largest_deviation() -> None:
    pose, velocity = [math.nan] * 21, [math.nan] * 21
    pose[0], pose[6], pose[11], pose[15], pose[20], velocity[6] = 0.04, 0.09, 0.01, 1e-4, 4e-4, 0.25
    message = received(odometry_message(pose_covariance=pose, velocity_covariance=velocity))
    sample = from_odometry(message, 0, NAMES)
    assert sample.position_deviation == pytest.approx(0.3)
    assert sample.attitude_deviation == pytest.approx(0.02)
    assert sample.velocity_deviation == pytest.approx(0.5)


@pytest.mark.parametrize(
    "change",
    [
        {"frame_id": common.MAV_FRAME_GLOBAL},
        {"frame_id": 99},
        {"child_frame_id": common.MAV_FRAME_LOCAL_ENU},
        {"q": [0.0] * 4},
        {"x": math.nan},
    ],
)
def test_what_is_not_understood_is_left_for_the_guards(change: dict) -> None:
    sample = from_odometry(received(odometry_message(**change)), 0, NAMES)
    assert check_odometry(sample, 0, Limits()) is not None


def test_the_pair_makes_a_state_at_the_attitudes_time() -> None:
    pair = Pair()
    attitude = common.MAVLink_attitude_quaternion_message(
        1020, math.sqrt(0.5), 0, 0, math.sqrt(0.5), 0.1, 0.2, 0.3
    )
    assert pair.complete(attitude, 5, NAMES) is None  # no position yet
    pair.take_position(common.MAVLink_local_position_ned_message(1000, 1.0, 2.0, -3.0, 1, 2, -5))
    sample = pair.complete(attitude, 5, NAMES)
    assert sample is not None and sample.stamp == 5
    np.testing.assert_allclose(sample.state.position, [2.04, 1.02, 3.1])
    np.testing.assert_allclose(sample.state.velocity, [2.0, 1.0, 5.0])
    np.testing.assert_allclose(sample.state.rotation, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(sample.state.body_rates, [0.1, -0.2, -0.3])
    late = replace_time(attitude, 1200)
    assert pair.complete(late, 5, NAMES) is None  # the position has stopped coming


def replace_time(message, time_boot_ms: int):
    message.time_boot_ms = time_boot_ms
    return message


def test_setpoints_are_in_frd() -> None:
    vehicle = MavlinkAutopilot(system=4, component=1)
    message = received(setpoint(0.4, [1.0, 2.0, 3.0], vehicle, 5_000_000))
    rates = (message.body_roll_rate, message.body_pitch_rate, message.body_yaw_rate)
    assert rates == (1.0, -2.0, -3.0)
    assert message.thrust == pytest.approx(0.4)
    assert message.type_mask == 128 and message.target_system == 4
    assert list(message.q) == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("horizontal", "vertical", "deviation"),
    [(0.2, 0.3, 0.3), (math.nan, 0.3, 0.3), (0.3, math.nan, 0.3), (math.nan, math.nan, 0.0)],
)
def test_an_accuracy_that_is_not_stated_hides_no_other(horizontal, vertical, deviation) -> None:
    pair = Pair()
    pair.take_position(common.MAVLink_local_position_ned_message(100, 0, 0, 0, 0, 0, 0))
    accuracy = (0, 0, 0, 0, 0, 0, 0, 0, horizontal, vertical)
    pair.take_accuracy(common.MAVLink_estimator_status_message(*accuracy))
    attitude = common.MAVLink_attitude_quaternion_message(100, 1, 0, 0, 0, 0, 0, 0)
    odometry = pair.complete(attitude, 0, NAMES)
    assert odometry is not None
    assert odometry.position_deviation == deviation
