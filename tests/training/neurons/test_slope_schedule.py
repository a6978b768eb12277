"""Slope schedules: range, purity, monotony, resuming, and the defects of the published code."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_training.neurons.slope_schedule import (
    WINDOW,
    Schedule,
    SlopeConfig,
    SlopeState,
    normalised_score,
    record_score,
    slope_at,
)

slopes = st.floats(1.0, 100.0)
shares = st.floats(0.0, 1.0)
scores = st.lists(shares, max_size=30)
configs = st.builds(
    SlopeConfig,
    schedule=st.sampled_from(get_args(Schedule)),
    start=slopes,
    end=slopes,
    intervals=st.integers(1, 30),
)


def _state(values: list[float]) -> SlopeState:
    state = SlopeState()
    for value in values:
        state = record_score(state, value)
    return state


@given(configs, st.floats(-1.0, 2.0), scores)
def test_slope_stays_in_its_range_and_is_pure(
    config: SlopeConfig, progress: float, values: list[float]
) -> None:
    state = _state(values)
    slope = slope_at(config, progress, state)
    assert 1.0 <= slope <= 100.0
    assert slope == slope_at(config, progress, state)
    assert state == _state(values)


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_every_schedule_constructs_and_starts_at_its_start(schedule: Schedule) -> None:
    assert slope_at(SlopeConfig(schedule, start=7.0), 0.0, SlopeState()) == 7.0


@given(slopes, st.lists(st.tuples(shares, shares)))
def test_fixed_never_changes(start: float, story: list[tuple[float, float]]) -> None:
    state = SlopeState()
    for progress, score in story:
        state = record_score(state, score)
        assert slope_at(SlopeConfig(start=start), progress, state) == start


@given(slopes, slopes, st.integers(2, 30), st.lists(shares, min_size=2))
def test_interval_moves_one_way_from_start_to_end(
    start: float, end: float, intervals: int, times: list[float]
) -> None:
    config = SlopeConfig("interval", start=start, end=end, intervals=intervals)
    values = [slope_at(config, time, SlopeState()) for time in sorted(times)]
    assert values == sorted(values, reverse=end < start)
    assert slope_at(config, 0.0, SlopeState()) == start
    assert slope_at(config, 1.0, SlopeState()) == pytest.approx(end)


def test_interval_is_constant_within_an_interval() -> None:
    config = SlopeConfig("interval", start=1.0, end=100.0, intervals=10)
    values = {slope_at(config, step / 1000, SlopeState()) for step in range(1001)}
    assert sorted(values) == pytest.approx([1.0 + 11.0 * step for step in range(10)])


@given(scores.filter(bool), shares, shares)
def test_adaptive_rises_with_the_newest_score(
    values: list[float], one: float, other: float
) -> None:
    config = SlopeConfig("adaptive")
    low, high = (slope_at(config, 0.0, _state([*values, score])) for score in sorted((one, other)))
    assert low <= high


def test_adaptive_follows_the_formula() -> None:
    values = [0.05 * step for step in range(15)]
    expected = 100.0 * sum(0.5 * p + 0.5 * 0.05 for p in values[-WINDOW:]) / WINDOW
    assert slope_at(SlopeConfig("adaptive"), 0.0, _state(values)) == pytest.approx(expected)
    steady = _state([0.8] * 20)
    assert slope_at(SlopeConfig("adaptive"), 0.0, steady) == pytest.approx(40.0)


def test_adaptive_takes_the_mean_of_the_scores_there_are() -> None:
    for count in range(1, 25):
        slope = slope_at(SlopeConfig("adaptive"), 0.0, _state([0.6] * count))
        assert slope == pytest.approx(30.0)


@given(configs, scores, scores)
def test_a_resumed_run_continues_its_schedule_exactly(
    config: SlopeConfig, before: list[float], after: list[float]
) -> None:
    unbroken = _state(before)
    resumed = SlopeState.from_json(json.loads(json.dumps(unbroken.to_json())))
    assert resumed == unbroken
    for score in after:
        unbroken, resumed = record_score(unbroken, score), record_score(resumed, score)
        assert slope_at(config, 0.5, resumed) == slope_at(config, 0.5, unbroken)


@given(st.floats(-1e6, 1e6))
def test_returns_are_normalised_before_they_set_the_slope(value: float) -> None:
    # Published code: a raw return above 200 holds k at 100.
    score = normalised_score(value, 0.0, 500.0)
    assert 0.0 <= score <= 1.0
    assert slope_at(SlopeConfig("adaptive"), 0.0, _state([score] * 12)) <= 50.0 + 1e-9


def test_long_runs_do_not_explode() -> None:
    # Published code: k0 + (epoch // interval) (k_max - k0) passes 100 at the second interval.
    config = SlopeConfig("interval", start=2.0, end=100.0, intervals=3)
    assert [slope_at(config, x, SlopeState()) for x in (0.0, 0.5, 0.9, 1.0, 7.0)] == [
        2.0,
        51.0,
        100.0,
        100.0,
        100.0,
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_scores_that_would_poison_the_state_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="score"):
        record_score(SlopeState(), value)
    with pytest.raises(ValueError, match="scores"):
        SlopeState.from_json({"scores": [value]})


def test_an_empty_range_and_an_unknown_schedule_are_refused() -> None:
    with pytest.raises(ValueError, match="normalised"):
        normalised_score(1.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="unknown slope schedule"):
        slope_at(replace(SlopeConfig(), schedule="order3"), 0.0, SlopeState())  # type: ignore[arg-type]
