"""Rotations and frames: what must hold for every attitude."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snn_controller.vehicle.frames import (
    Array,
    axis_angle_to_quaternion,
    multiply_quaternions,
    quaternion_to_matrix,
    roll_pitch_yaw,
    swap_enu_ned,
    swap_flu_frd,
    swap_quaternion_convention,
    tilt_angle,
)
from support.quaternions import quaternions, swap_attitude_convention

vectors = arrays(np.float64, 3, elements=st.floats(-10.0, 10.0))
directions = vectors.filter(lambda v: np.linalg.norm(v) > 0.1).map(lambda v: v / np.linalg.norm(v))
angles = st.floats(-np.pi, np.pi)


def about(axis: list[float], angle: float) -> Array:
    return quaternion_to_matrix(axis_angle_to_quaternion(axis, angle))


@given(quaternions)
def test_matrices_are_rotations(quaternion: Array) -> None:
    matrix = quaternion_to_matrix(quaternion)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


@given(quaternions, st.floats(0.1, 10.0))
def test_length_and_sign_of_a_quaternion_mean_nothing(quaternion: Array, scale: float) -> None:
    matrix = quaternion_to_matrix(quaternion)
    np.testing.assert_allclose(quaternion_to_matrix(-scale * quaternion), matrix, atol=1e-12)


@given(directions, angles)
def test_axis_angle_turns_about_its_axis_by_its_angle(axis: Array, angle: float) -> None:
    matrix = about(list(axis), angle)
    np.testing.assert_allclose(matrix @ axis, axis, atol=1e-12)
    assert np.trace(matrix) == pytest.approx(1.0 + 2.0 * np.cos(angle), abs=1e-12)


@pytest.mark.parametrize(
    ("axis", "start", "end"),
    [([1, 0, 0], [0, 1, 0], [0, 0, 1]), ([0, 1, 0], [0, 0, 1], [1, 0, 0])],
)
def test_rotations_are_right_handed(axis: list[float], start: list[float], end: Array) -> None:
    np.testing.assert_allclose(about(axis, np.pi / 2) @ start, end, atol=1e-12)


@given(quaternions, quaternions)
def test_product_of_quaternions_is_product_of_matrices(left: Array, right: Array) -> None:
    product = quaternion_to_matrix(multiply_quaternions(left, right))
    expected = quaternion_to_matrix(left) @ quaternion_to_matrix(right)
    np.testing.assert_allclose(product, expected, atol=1e-12)


@given(angles, st.floats(-1.5, 1.5), angles)
def test_roll_pitch_yaw_undoes_turning_in_that_order(roll: float, pitch: float, yaw: float) -> None:
    matrix = about([0, 0, 1], yaw) @ about([0, 1, 0], pitch) @ about([1, 0, 0], roll)
    found = roll_pitch_yaw(matrix)
    # a whole turn more or less is the same angle
    gap = np.angle(np.exp(1j * (found - np.array([roll, pitch, yaw]))))
    np.testing.assert_allclose(gap, 0.0, atol=1e-9)


@given(angles, st.floats(0.0, np.pi), angles)
def test_tilt_ignores_yaw(yaw: float, tilt: float, heading: float) -> None:
    direction = [np.cos(heading), np.sin(heading), 0.0]
    assert tilt_angle(about(direction, tilt) @ about([0, 0, 1], yaw)) == pytest.approx(
        tilt, abs=1e-6
    )


@given(vectors)
def test_frame_changes_undo_themselves_and_keep_lengths(vector: Array) -> None:
    for swap in (swap_enu_ned, swap_flu_frd):
        np.testing.assert_array_equal(swap(swap(vector)), vector)
        assert np.linalg.norm(swap(vector)) == pytest.approx(np.linalg.norm(vector))


def test_frame_changes_of_named_directions() -> None:
    east, north, up = np.eye(3)
    np.testing.assert_array_equal(swap_enu_ned(east), [0, 1, 0])
    np.testing.assert_array_equal(swap_enu_ned(north), [1, 0, 0])
    np.testing.assert_array_equal(swap_enu_ned(up), [0, 0, -1])
    np.testing.assert_array_equal(swap_flu_frd([1.0, 2.0, 3.0]), [1, -2, -3])


@given(quaternions, vectors)
def test_attitude_in_the_other_convention_turns_the_same_vector(
    quaternion: Array, vector: Array
) -> None:
    attitude = quaternion_to_matrix(quaternion)
    other = swap_attitude_convention(attitude)
    np.testing.assert_allclose(
        other @ swap_flu_frd(vector), swap_enu_ned(attitude @ vector), atol=1e-9
    )
    np.testing.assert_allclose(swap_attitude_convention(other), attitude, atol=1e-12)


@given(quaternions)
def test_quaternions_change_convention_as_matrices_do(quaternion: Array) -> None:
    other = swap_quaternion_convention(quaternion)
    np.testing.assert_allclose(
        quaternion_to_matrix(other),
        swap_attitude_convention(quaternion_to_matrix(quaternion)),
        atol=1e-9,
    )
    assert np.linalg.norm(other) == pytest.approx(np.linalg.norm(quaternion))


def test_batches_are_rows_of_singles() -> None:
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(2, 3, 4))
    matrices = quaternion_to_matrix(batch)
    assert matrices.shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(matrices[1, 2], quaternion_to_matrix(batch[1, 2]))
    assert roll_pitch_yaw(matrices).shape == (2, 3, 3)
    assert tilt_angle(matrices).shape == (2, 3)
    assert swap_attitude_convention(matrices).shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(
        multiply_quaternions(batch, batch)[1, 2], multiply_quaternions(batch[1, 2], batch[1, 2])
    )
