"""Who flies when: the guide's share falls as the schedule says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_training.rollouts.jump_start import JumpStart, Schedule, gates_passed, guided_ticks


def guided(jump: JumpStart, progress: float, passed: int = 0, count: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return guided_ticks(jump, progress, passed, episode=500, count=count, rng=rng)


def test_linear_growth_ends_with_the_warm_up() -> None:
    jump = JumpStart(until=0.5, cold_from=1.0)
    assert [int(guided(jump, x)[0]) for x in (0.0, 0.25, 0.5, 0.99)] == [450, 250, 50, 50]


def test_cold_flights_come_last() -> None:
    jump = JumpStart(until=0.5, cold_from=0.8)
    assert [int(guided(jump, x)[0]) for x in (0.79, 0.8, 1.0)] == [50, 0, 0]


def test_random_horizons_lie_in_what_linear_growth_has_reached() -> None:
    jump = JumpStart("random", until=0.5, cold_from=1.0)
    drawn = guided(jump, 0.25, count=5000)
    assert (drawn.min(), drawn.max()) == (250, 450)
    assert drawn.mean() == pytest.approx(350, abs=3)
    np.testing.assert_array_equal(guided(jump, 0.0, count=9), 450)


def test_gated_growth_waits_for_success() -> None:
    jump = JumpStart("gated", stages=4, cold_from=0.5)
    assert int(guided(jump, 0.9, passed=0)[0]) == 450
    assert int(guided(jump, 0.9, passed=2)[0]) == 250
    assert int(guided(jump, 0.4, passed=7)[0]) == 50
    assert int(guided(jump, 0.9, passed=4)[0]) == 0
    assert gates_passed(jump, [100.0, 330.0, 319.0, 400.0], guide=400.0) == 2


def test_without_a_jump_start_the_policy_flies_everything() -> None:
    np.testing.assert_array_equal(guided(JumpStart("none"), 0.0, count=7), 0)


@given(
    st.sampled_from(["linear", "random", "gated", "none"]),
    st.floats(0.0, 1.0),
    st.integers(0, 30),
    st.integers(0, 600),
    st.integers(1, 600),
)
def test_the_guide_never_flies_more_than_an_episode(
    schedule: Schedule, progress: float, passed: int, first: int, episode: int
) -> None:
    jump = JumpStart(schedule, first=first, last_guided=50)
    drawn = guided_ticks(
        jump, progress, passed, episode=episode, count=20, rng=np.random.default_rng(0)
    )
    assert (drawn >= 0).all()
    assert (drawn <= max(episode - first, 0)).all()
