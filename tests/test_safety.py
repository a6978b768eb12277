from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import hovering, sample
from hypothesis import given
from hypothesis import strategies as st
from snn_controller.safety import (
    Limits,
    check_envelope,
    check_goal,
    check_odometry,
    silence_verdict,
)
from snn_controller.state import State

LIMITS = Limits()
SECOND = 1_000_000_000


def test_good_odometry_passes() -> None:
    assert check_odometry(sample(hovering(), SECOND), SECOND, LIMITS) is None
    assert check_envelope(hovering(), LIMITS) is None


@pytest.mark.parametrize("field", ["position", "quaternion", "velocity", "body_rates"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(field: str, bad: float) -> None:
    state = hovering()
    values = getattr(state, field).copy()
    values[1] = bad
    broken = sample(replace(state, **{field: values}), SECOND)
    verdict = check_odometry(broken, SECOND, LIMITS)
    assert verdict is not None
    assert verdict.limit == "finite"


@pytest.mark.parametrize(("frame", "child"), [("map_ned", "base_link"), ("odom", "base_frd")])
def test_a_wrong_frame_is_named(frame: str, child: str) -> None:
    verdict = check_odometry(sample(hovering(), SECOND, frame, child), SECOND, LIMITS)
    assert verdict is not None
    assert verdict.limit == "frame"
    assert f"'{frame}'/'{child}'" in verdict.reason


def test_a_zero_quaternion_is_refused() -> None:
    broken = replace(hovering(), quaternion=np.zeros(4))
    verdict = check_odometry(sample(broken, SECOND), SECOND, LIMITS)
    assert verdict is not None
    assert verdict.limit == "attitude"


@given(st.integers(0, 10 * SECOND))
def test_age_alone_decides_staleness(age: int) -> None:
    verdict = check_odometry(sample(hovering(), SECOND), SECOND + age, LIMITS)
    assert (verdict is not None) == (age * 1e-9 > LIMITS.odometry_age)


@given(st.integers(0, 10 * SECOND))
def test_a_stamp_ahead_of_the_clock_is_refused_like_an_old_one(ahead: int) -> None:
    verdict = check_odometry(sample(hovering(), SECOND + ahead), SECOND, LIMITS)
    assert (verdict is not None) == (ahead * 1e-9 > LIMITS.odometry_age)


@pytest.mark.parametrize(
    ("goal", "word"),
    [
        ((0.0, np.inf, 1.0), "finite"),
        ((0.0, 9.0, 1.0), "geofence"),
        ((0.0, 0.0, 0.05), "on the ground"),
        ((0.0, 0.0, -0.2), "on the ground"),
    ],
)
def test_a_goal_that_cannot_be_flown_to_is_refused(goal: tuple, word: str) -> None:
    verdict = check_goal(np.array(goal), LIMITS, lowest=0.1)
    assert verdict is not None
    assert word in verdict.reason
    assert check_goal(np.array([1.0, -1.0, 0.1]), LIMITS, lowest=0.1) is None


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_each_wall_of_the_geofence(axis: int, side: str) -> None:
    wall = getattr(LIMITS, f"geofence_{side}")[axis]
    sign = -1.0 if side == "lower" else 1.0
    for step, inside in ((-0.01, True), (0.01, False)):
        position = np.array([0.0, 0.0, 1.0])
        position[axis] = wall + sign * step
        assert (check_envelope(State.at_rest(position), LIMITS) is None) == inside


@given(st.floats(0.0, np.pi), st.floats(-np.pi, np.pi))
def test_tilt_is_judged_whatever_its_direction(tilt: float, heading: float) -> None:
    half = tilt / 2.0
    quaternion = np.array(
        [np.sin(half) * np.cos(heading), np.sin(half) * np.sin(heading), 0.0, np.cos(half)]
    )
    verdict = check_envelope(replace(hovering(), quaternion=quaternion), LIMITS)
    if abs(tilt - LIMITS.tilt) > 1e-6:
        assert (verdict is not None) == (tilt > LIMITS.tilt)


def test_silence_says_for_how_long() -> None:
    assert "250 ms" in silence_verdict(0.25).reason
