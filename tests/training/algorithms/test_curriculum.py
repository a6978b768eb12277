"""The reward curriculum: six equal steps, a pure function of progress."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS
from snn_training.algorithms.curriculum import Curriculum, coefficients_at, curriculum_rules
from snn_training.common.bounds import require


def test_six_equal_steps_lead_from_start_to_end() -> None:
    levels = list(
        dict.fromkeys(coefficients_at(Curriculum(), x) for x in np.linspace(0.0, 1.0, 1001))
    )
    assert levels[0] == START_COEFFICIENTS
    assert astuple(levels[-1]) == pytest.approx(astuple(END_COEFFICIENTS))
    assert [x.position for x in levels] == pytest.approx(np.linspace(1.0, 3.5, 7))
    assert [x.velocity for x in levels] == pytest.approx(np.linspace(0.01, 0.1, 7))
    assert [x.throttle for x in levels] == pytest.approx(np.linspace(0.14, 0.5, 7))


@pytest.mark.parametrize("number", range(1, 7))
def test_a_step_is_taken_exactly_when_its_share_is_reached(number: int) -> None:
    curriculum = Curriculum(until=0.6)
    share = 0.6 * number / 6
    at, before = coefficients_at(curriculum, share), coefficients_at(curriculum, share - 1e-6)
    assert at.position - before.position == pytest.approx(2.5 / 6)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 20), st.floats(0.01, 1.0))
def test_penalties_never_fall(one: float, other: float, steps: int, until: float) -> None:
    curriculum = Curriculum(steps, until)
    early, late = (coefficients_at(curriculum, x) for x in sorted((one, other)))
    assert early.position <= late.position + 1e-12
    assert late.position <= END_COEFFICIENTS.position + 1e-12


def test_without_steps_the_end_coefficients_hold_from_the_beginning() -> None:
    assert coefficients_at(Curriculum(steps=0), 0.0) == END_COEFFICIENTS


@pytest.mark.parametrize("curriculum", [Curriculum(steps=-1), Curriculum(until=0.0)])
def test_impossible_curricula_are_refused(curriculum: Curriculum) -> None:
    with pytest.raises(UserError, match="--curriculum"):
        require(curriculum_rules(curriculum))
