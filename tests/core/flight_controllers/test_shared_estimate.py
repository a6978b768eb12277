from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.flight_controllers.shared.estimate import StartFrame
from snn_controller.vehicle.frames import (
    axis_angle_to_quaternion,
    quaternion_to_matrix,
    roll_pitch_yaw,
)
from snn_controller.vehicle.state import Odometry, State

numbers = st.floats(-50.0, 50.0)
places = st.tuples(numbers, numbers, numbers).map(np.array)
headings = st.floats(-3.1, 3.1)


def sample(
    place: np.ndarray, heading: float, velocity: np.ndarray | None = None, *, stamp: int = 0
) -> Odometry:
    quaternion = axis_angle_to_quaternion([0.0, 0.0, 1.0], heading)
    speed = np.zeros(3) if velocity is None else velocity
    return Odometry(stamp, "odom", "base_link", State(place, quaternion, speed, np.full(3, 0.1)))


@given(places, headings)
def test_the_start_is_the_origin_heading_along_x(place: np.ndarray, heading: float) -> None:
    told = StartFrame().tell(sample(place, heading), on_start=True).state
    np.testing.assert_allclose(told.position, 0.0, atol=1e-9)
    np.testing.assert_allclose(told.rotation, np.eye(3), atol=1e-9)


@given(places, headings, places, headings, places)
def test_what_comes_later_is_seen_from_the_start(
    start: np.ndarray, first: float, place: np.ndarray, heading: float, velocity: np.ndarray
) -> None:
    frame = StartFrame()
    frame.tell(sample(start, first), on_start=True)
    told = frame.tell(sample(place, heading, velocity), on_start=False).state
    back = quaternion_to_matrix(axis_angle_to_quaternion([0.0, 0.0, 1.0], first))
    np.testing.assert_allclose(back @ told.position + start, place, atol=1e-9)
    np.testing.assert_allclose(back @ told.velocity, velocity, atol=1e-9)
    turned = float(roll_pitch_yaw(told.rotation)[2])
    assert abs(np.angle(np.exp(1j * (turned - heading + first)))) < 1e-6
    np.testing.assert_array_equal(told.body_rates, 0.1)


def test_a_vehicle_that_is_carried_moves_and_is_followed_once_it_stands() -> None:
    frame = StartFrame()
    frame.tell(sample(np.zeros(3), 0.0), on_start=True)

    def told(time: float, place: float, speed: float) -> float:
        velocity = np.array([speed, 0.0, 0.0])
        odometry = sample(np.array([place, 0.0, 0.0]), 0.0, velocity, stamp=round(time * 1e9))
        return float(frame.tell(odometry, on_start=True).state.position[0])

    assert told(1.0, 0.5, 1.0) == 0.5
    assert told(1.1, 0.6, 0.0) == 0.6
    assert told(1.2, 0.6, 0.0) == 0.6
    assert told(1.5, 0.6, 0.0) == 0.0
    assert told(1.6, 0.61, 0.0) == 0.0  # a drift


def test_before_a_start_and_without_numbers_nothing_is_changed() -> None:
    frame = StartFrame()
    odometry = sample(np.array([1.0, 2.0, 3.0]), 0.5)
    assert np.allclose(frame.tell(odometry, on_start=False).state.position, [1.0, 2.0, 3.0])
    broken = sample(np.array([np.nan, 0.0, 0.0]), 0.5)
    assert frame.tell(broken, on_start=True) is broken


@given(places, headings, places, headings, places)
def test_a_reset_that_is_announced_moves_the_frame_and_not_the_vehicle(
    place: np.ndarray, heading: float, moved: np.ndarray, turned: float, velocity: np.ndarray
) -> None:
    frame = StartFrame()
    frame.tell(sample(np.zeros(3), 0.3), on_start=True)
    before = frame.tell(sample(place, heading, velocity, stamp=10), on_start=False).state
    anew = replace(sample(moved, turned, velocity, stamp=10), resets=1)
    after = frame.tell(anew, on_start=False).state
    np.testing.assert_allclose(after.position, before.position, atol=1e-9)
    np.testing.assert_allclose(after.rotation, before.rotation, atol=1e-6)
    back = quaternion_to_matrix(axis_angle_to_quaternion([0.0, 0.0, 1.0], turned))
    ours = after.rotation @ back.T @ velocity
    np.testing.assert_allclose(after.velocity, ours, atol=1e-6)


def test_a_vehicle_flies_on_over_a_reset() -> None:
    frame, velocity = StartFrame(), np.array([2.0, 0.0, 0.0])
    frame.tell(sample(np.zeros(3), 0.0), on_start=True)
    frame.tell(sample(np.ones(3), 0.0, velocity, stamp=0), on_start=False)
    anew = replace(sample(np.full(3, 9.0), 0.0, velocity, stamp=50_000_000), resets=7)
    told = frame.tell(anew, on_start=False).state.position
    np.testing.assert_allclose(told, [1.1, 1.0, 1.0], atol=1e-9)
    later = replace(sample(np.full(3, 9.5), 0.0, velocity, stamp=90_000_000), resets=7)
    np.testing.assert_allclose(frame.tell(later, on_start=False).state.position, [1.6, 1.5, 1.5])


@pytest.mark.parametrize(
    ("pause", "followed"), [(0.5, False), (1.5, True)], ids=["too soon", "in time"]
)
def test_an_estimator_that_resets_on_and_on_is_not_believed(pause: float, followed: bool) -> None:
    frame = StartFrame()
    frame.tell(sample(np.zeros(3), 0.0), on_start=True)

    def told(time: float, place: float, resets: int) -> float:
        odometry = sample(np.array([place, 0.0, 0.0]), 0.0, stamp=round(time * 1e9))
        moved = frame.tell(replace(odometry, resets=resets), on_start=False)
        return float(moved.state.position[0])

    assert told(1.0, 5.0, 0) == 5.0
    assert told(1.01, 8.0, 1) == pytest.approx(5.0)
    assert told(1.0 + pause, 8.0, 1) == pytest.approx(5.0)
    assert told(1.01 + pause, 2.0, 2) == pytest.approx(5.0 if followed else -1.0)


def test_a_reset_after_a_gap_is_left_to_the_guards() -> None:
    frame = StartFrame()
    frame.tell(sample(np.zeros(3), 0.0), on_start=True)
    late = replace(sample(np.full(3, 9.0), 0.0, stamp=200_000_000), resets=1)
    np.testing.assert_allclose(frame.tell(late, on_start=False).state.position, 9.0)
