from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.flight_controllers.shared.estimate import largest_deviation, state_from_ned

EAST = [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]  # a quarter turn about down
numbers = st.floats(-10.0, 10.0)


def test_north_east_down_becomes_east_north_up() -> None:
    state = state_from_ned(
        [1.0, 2.0, -3.0], EAST, [4.0, 5.0, -6.0], [0.1, 0.2, 0.3], velocity_in_body=False
    )
    np.testing.assert_allclose(state.position, [2.0, 1.0, 3.0])
    np.testing.assert_allclose(state.rotation, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(state.velocity, [5.0, 4.0, 6.0])
    np.testing.assert_allclose(state.body_rates, [0.1, -0.2, -0.3])


@given(st.tuples(numbers, numbers, numbers), st.tuples(numbers, numbers, numbers, numbers))
def test_a_velocity_in_the_body_is_the_same_turned(velocity, wxyz) -> None:
    quaternion = np.array(wxyz)
    if np.linalg.norm(quaternion) < 0.1:
        return
    quaternion = (quaternion / np.linalg.norm(quaternion)).tolist()
    body = state_from_ned(np.zeros(3), quaternion, velocity, np.zeros(3), velocity_in_body=True)
    forward_left_up = np.array([velocity[0], -velocity[1], -velocity[2]])
    np.testing.assert_allclose(body.velocity, body.rotation @ forward_left_up, atol=1e-9)


def test_what_is_not_finite_or_no_attitude_passes_through_to_the_guards() -> None:
    state = state_from_ned(
        [math.nan, 0.0, 0.0], [0.0] * 4, [1.0, 2.0, 3.0], [math.inf] * 3, velocity_in_body=True
    )
    assert not state.is_finite()
    assert not state.quaternion.any()
    np.testing.assert_allclose(state.velocity, [1.0, -2.0, -3.0])


@pytest.mark.parametrize(
    ("variances", "deviation"),
    [([], 0.0), ([math.nan] * 3, 0.0), ([0.04, math.nan, 0.09], 0.3), ([-1.0, math.inf], 0.0)],
)
def test_the_largest_deviation_that_is_stated_counts(variances, deviation) -> None:
    assert largest_deviation(variances) == pytest.approx(deviation)
