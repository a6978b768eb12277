"""Observations: names, layout, clipping, batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snn_controller.vehicle.frames import Array, axis_angle_to_quaternion
from snn_controller.vehicle.observation import (
    BODY_RATES,
    OBSERVATION_SIZE,
    OBSERVATION_VERSION,
    OBSERVATIONS,
    PART_SIZES,
    POSITION_ERROR,
    POSITION_ERROR_LIMIT,
    ROTATION_MATRIX,
    VELOCITY_ERROR,
    VELOCITY_ERROR_LIMIT,
    observe_1,
    per_number,
)
from snn_controller.vehicle.state import Reference, State

vectors = arrays(np.float64, 3, elements=st.floats(-100.0, 100.0))


def test_the_names_cover_the_observation_in_order() -> None:
    parts = (POSITION_ERROR, ROTATION_MATRIX, VELOCITY_ERROR, BODY_RATES)
    assert tuple(part.stop - part.start for part in parts) == PART_SIZES[:4]
    np.testing.assert_array_equal(np.concatenate([np.arange(18)[x] for x in parts]), np.arange(18))
    values = per_number(1.0, 2.0, 3.0, 4.0)
    for value, part in zip((1.0, 2.0, 3.0, 4.0), parts, strict=True):
        assert (values[part] == value).all()


@pytest.mark.parametrize("number", OBSERVATIONS)
def test_no_number_of_any_version_exceeds_its_limit(number: int) -> None:
    version, rng = OBSERVATIONS[number], np.random.default_rng(0)
    quaternions = rng.normal(size=(200, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1)[:, None]
    state = State(*(5.0 * rng.normal(size=(200, 3)) for _ in range(4)))
    state = State(state.position, quaternions, state.velocity, state.body_rates)
    seen = version.observe(state, Reference(np.zeros((200, 3)), np.zeros((200, 3))))
    assert seen.shape == (200, version.size)
    assert (np.abs(seen) <= version.limits.astype(np.float32) + np.float32(1e-6)).all()


def test_policies_are_trained_on_a_known_version() -> None:
    assert OBSERVATIONS[OBSERVATION_VERSION].size == OBSERVATION_SIZE


def test_layout() -> None:
    state = State(
        position=np.array([1.1, 2.2, 3.3]),
        quaternion=axis_angle_to_quaternion([0.0, 0.0, 1.0], np.pi / 2),
        velocity=np.array([0.4, 0.5, 0.6]),
        body_rates=np.array([7.0, 8.0, 9.0]),
    )
    reference = Reference(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.1, 0.1]))
    expected = [0.1, 0.2, 0.3, 0, -1, 0, 1, 0, 0, 0, 0, 1, 0.3, 0.4, 0.5, 7, 8, 9]
    observation = observe_1(state, reference)
    assert observation.dtype == np.float32
    np.testing.assert_allclose(observation, expected, atol=1e-6)


@given(vectors, vectors, vectors, vectors)
def test_errors_are_clipped_and_keep_their_sign(
    position: Array, velocity: Array, target: Array, target_velocity: Array
) -> None:
    state = State(position, np.array([0.0, 0.0, 0.0, 1.0]), velocity, np.zeros(3))
    observation = observe_1(state, Reference(target, target_velocity))
    for found, error, limit in (
        (observation[POSITION_ERROR], position - target, POSITION_ERROR_LIMIT),
        (observation[VELOCITY_ERROR], velocity - target_velocity, VELOCITY_ERROR_LIMIT),
    ):
        assert (np.abs(found) <= np.float32(limit)).all()
        inside = np.abs(error) < limit
        np.testing.assert_allclose(found[inside], error[inside], rtol=1e-6, atol=1e-30)
        np.testing.assert_array_equal(np.sign(found[~inside]), np.sign(error[~inside]))


@given(vectors, vectors)
def test_moving_drone_and_target_together_changes_nothing(position: Array, shift: Array) -> None:
    here = observe_1(State.at_rest(position), Reference(np.zeros(3)))
    there = observe_1(State.at_rest(position + shift), Reference(shift))
    np.testing.assert_allclose(there, here, atol=1e-6)


def test_batch_is_rows_of_singles() -> None:
    rng = np.random.default_rng(0)
    batch = State(*(rng.normal(size=(2, 3, size)) for size in (3, 4, 3, 3)))
    reference = Reference(rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3, 3)))
    observations = observe_1(batch, reference)
    assert observations.shape == (2, 3, 18)
    single = State(
        batch.position[1, 2], batch.quaternion[1, 2], batch.velocity[1, 2], batch.body_rates[1, 2]
    )
    own_reference = Reference(reference.position[1, 2], reference.velocity[1, 2])
    np.testing.assert_array_equal(observations[1, 2], observe_1(single, own_reference))
