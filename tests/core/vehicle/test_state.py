from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.vehicle.state import odometry_from_message

PARTS = ("position", "attitude", "velocity")
each_part = pytest.mark.parametrize("part", PARTS)
variances = st.one_of(st.just(math.nan), st.floats(0.0, 100.0))


def message(part: str, stated: tuple[float, ...]) -> Any:
    """Odometry at rest whose `part` has these variances (3,)."""
    pose, twist = np.zeros(36), np.zeros(36)
    covariance, first = {"position": (pose, 0), "attitude": (pose, 21), "velocity": (twist, 0)}[
        part
    ]
    covariance[first : first + 15 : 7] = stated
    zero = SimpleNamespace(x=0.0, y=0.0, z=0.0)
    level = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0), frame_id="odom"),
        child_frame_id="base_link",
        pose=SimpleNamespace(
            pose=SimpleNamespace(position=zero, orientation=level), covariance=pose
        ),
        twist=SimpleNamespace(twist=SimpleNamespace(linear=zero, angular=zero), covariance=twist),
    )


def deviations(part: str, stated: tuple[float, ...]) -> dict[str, float]:
    odometry = odometry_from_message(message(part, stated))
    return {name: getattr(odometry, f"{name}_deviation") for name in PARTS}


@each_part
@given(st.permutations([0, 1, 2]), st.tuples(variances, variances, variances))
def test_the_order_of_the_axes_makes_no_difference(part, order, stated) -> None:
    told = deviations(part, stated)
    assert told == deviations(part, tuple(stated[axis] for axis in order))
    assert told[part] == math.sqrt(max([0.0, *(x for x in stated if not math.isnan(x))]))
    assert all(told[name] == 0.0 for name in PARTS if name != part)


@each_part
@pytest.mark.parametrize("axis", range(3))
def test_nan_states_nothing_and_below_zero_is_no_estimate(part: str, axis: int) -> None:
    def told(value: float, others: float) -> float:
        return deviations(part, tuple(value if n == axis else others for n in range(3)))[part]

    assert told(math.nan, math.nan) == 0.0
    assert told(math.nan, 0.0) == 0.0
    assert told(math.nan, 0.04) == pytest.approx(0.2)
    assert told(-1.0, math.nan) == math.inf
    assert told(-1.0, 0.01) == math.inf
    assert told(math.inf, 0.01) == math.inf
