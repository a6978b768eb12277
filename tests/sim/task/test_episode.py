"""What counts as a crash."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.vehicle.state import Reference, State
from snn_sim.task.episode import CRASH_DISTANCE, has_crashed

REFERENCE = Reference(np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_box_is_closed_on_every_side(axis: int, sign: float) -> None:
    for share, crashed in ((0.999, False), (1.001, True)):
        position = REFERENCE.position.copy()
        position[axis] += sign * share * CRASH_DISTANCE
        assert has_crashed(State.at_rest(position), REFERENCE) is crashed


@pytest.mark.parametrize("field", ["position", "velocity", "quaternion", "body_rates"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_crashed(field: str, value: float) -> None:
    state = State.at_rest(REFERENCE.position)
    broken = getattr(state, field).copy()
    broken[0] = value
    assert has_crashed(replace(state, **{field: broken}), REFERENCE)
