from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.flight.plan import TickSchedule

MS = 1_000_000


@pytest.mark.parametrize(("odometry_rate", "every"), [(100, 1), (200, 2), (500, 5), (1000, 10)])
def test_odometry_is_decimated_to_the_policy_rate(odometry_rate: int, every: int) -> None:
    schedule = TickSchedule(100.0)
    step = 1_000_000_000 // odometry_rate
    due = [schedule.due(number * step) is not None for number in range(10 * every)]
    assert due == [number % every == 0 for number in range(10 * every)]


@given(st.lists(st.integers(-2 * MS, 2 * MS), min_size=1, max_size=200))
def test_jitter_neither_drops_nor_adds_ticks(jitter: list[int]) -> None:
    schedule = TickSchedule(100.0)
    assert schedule.due(0) == 0
    for number, offset in enumerate(jitter, start=1):
        assert schedule.due(number * 10 * MS + offset) == 0


@given(st.lists(st.integers(1, 30), min_size=1, max_size=50))
def test_every_period_is_either_ticked_or_missed(gaps: list[int]) -> None:
    schedule = TickSchedule(100.0)
    schedule.due(0)
    stamp, accounted = 0, 0
    for gap in gaps:
        stamp += gap * 10 * MS
        missed = schedule.due(stamp)
        assert missed == gap - 1
        accounted += missed + 1
    assert accounted == sum(gaps)


@given(st.integers(-9, 9), st.lists(st.integers(-300, 300), min_size=200, max_size=200))
def test_a_first_sample_off_the_beat_costs_one_tick_at_most(first: int, jitter: list[int]) -> None:
    schedule = TickSchedule(100.0)
    schedule.due(first * MS)
    answers = [schedule.due(i * 10 * MS + 1_000 * us) for i, us in enumerate(jitter, start=1)]
    assert answers.count(None) <= 2
    assert sum(missed for missed in answers if missed is not None) <= 2
    assert set(answers[50:]) == {0}


@pytest.mark.parametrize("rate", [70.0, 80.0, 90.0])
def test_slow_odometry_is_counted_as_missed_ticks(rate: float) -> None:
    schedule = TickSchedule(100.0)
    answers = [schedule.due(round(i * 1e9 / rate)) for i in range(1000)]
    ticks = sum(1 + missed for missed in answers if missed is not None)
    assert ticks == pytest.approx(1000 * 100.0 / rate, rel=0.02)
