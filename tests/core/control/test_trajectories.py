"""Built-in tasks: velocity is the derivative of position, laps close, jumps happen on time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.control.trajectories import (
    SQUARE_SPEED,
    STEP_LENGTH,
    STEP_TIME,
    TASKS,
    find_task,
)
from snn_controller.errors import UserError

HOVER_POINT = np.array([1.0, 2.0, 3.0])
MOVING = ("figure8", "figure8_fast", "square")


@pytest.mark.parametrize("name", MOVING)
@given(time=st.floats(0.0, 60.0))
def test_velocity_is_the_derivative_of_position(name: str, time: float) -> None:
    step = 1e-5
    corner = (time * SQUARE_SPEED) % 1.0
    if name == "square" and min(corner, 1.0 - corner) < 1e-3:
        return  # the velocity jumps at a corner
    task = find_task(name)
    before, after = (task.reference(time + x, HOVER_POINT).position for x in (-step, step))
    velocity = task.reference(time, HOVER_POINT).velocity
    np.testing.assert_allclose((after - before) / (2 * step), velocity, atol=1e-5)


@pytest.mark.parametrize("name", MOVING)
@given(time=st.floats(0.0, 30.0))
def test_laps_repeat_at_the_height_of_the_hover_point(name: str, time: float) -> None:
    task = find_task(name)
    now, later = (task.reference(time + lap, HOVER_POINT) for lap in (0.0, task.period))
    gap = np.linalg.norm(now.position - later.position)
    assert gap < 1e-6
    assert now.position[2] == HOVER_POINT[2]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_begins_at_the_hover_point(name: str) -> None:
    np.testing.assert_allclose(find_task(name).reference(0.0, HOVER_POINT).position, HOVER_POINT)


def test_shapes() -> None:
    times = np.linspace(0.0, 12.0, 1201)
    figure = np.array([find_task("figure8").offset(t)[0] for t in times])
    np.testing.assert_allclose(np.abs(figure).max(axis=0), [1.0, 0.5, 0.0], atol=1e-4)
    square = np.array([find_task("square").offset(t)[0] for t in times])
    np.testing.assert_allclose(square.min(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(square.max(axis=0), [1.0, 1.0, 0.0], atol=1e-9)


def test_step_jumps_once_and_demands_no_velocity() -> None:
    task = find_task("step")
    for time, expected in ((STEP_TIME - 0.01, 0.0), (STEP_TIME, STEP_LENGTH), (99.0, STEP_LENGTH)):
        reference = task.reference(time, np.zeros(3))
        np.testing.assert_array_equal(reference.position, [expected, 0.0, 0.0])
        np.testing.assert_array_equal(reference.velocity, np.zeros(3))


def test_only_takeoff_land_begins_on_the_ground() -> None:
    assert [name for name, task in TASKS.items() if task.from_ground] == ["takeoff_land"]


def test_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="hover, step, figure8"):
        find_task("loop")
