"""Surrogate gradients, slope schedules and the price of spikes.

Schedules: range, purity, monotony, and the defects of the published code.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.vehicle.airframe import Quadrotor
from snn_sim.task.reward import END_COEFFICIENTS
from snn_training.networks.make import unroll_spiking
from snn_training.neurons.surrogate import (
    WINDOW,
    Schedule,
    SlopeConfig,
    SlopeState,
    SurrogateSpike,
    heaviside,
    normalised_score,
    record_score,
    slope_at,
    sparsity_loss,
    surrogate_gradient,
)
from support.sequence_samples import WEIGHTS, flown, learner

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


@pytest.mark.parametrize("slope", [1.0, 10.0, 100.0])
def test_backward_is_the_fast_sigmoid_slope(slope: float) -> None:
    membrane = torch.linspace(-1.0, 2.0, 31, requires_grad=True)
    threshold = torch.tensor(0.5)
    SurrogateSpike.apply(membrane, threshold, slope).sum().backward()
    distance = np.abs(membrane.detach().numpy() - 0.5)
    np.testing.assert_allclose(membrane.grad, 1.0 / (1.0 + slope * distance) ** 2, rtol=1e-5)


def test_peak_is_one_for_every_slope() -> None:
    for slope in (1.0, 25.0, 100.0):
        assert surrogate_gradient(torch.zeros(1), slope).item() == 1.0


def test_forward_is_the_step_for_every_slope() -> None:
    membrane, threshold = torch.tensor([0.4, 0.5, 0.6]), torch.tensor(0.5)
    for slope in (1.0, 100.0):
        assert SurrogateSpike.apply(membrane, threshold, slope).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("slope", [0.5, 101.0, float("nan")])
def test_slopes_outside_the_range_are_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="slope"):
        SurrogateSpike.apply(torch.zeros(1), torch.zeros(1), slope)


def test_heaviside_is_strict() -> None:
    assert heaviside(torch.tensor([0.5]), torch.tensor([0.5])).item() == 0.0


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


def test_an_empty_range_and_an_unknown_schedule_are_refused() -> None:
    with pytest.raises(ValueError, match="normalised"):
        normalised_score(1.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="unknown slope schedule"):
        slope_at(replace(SlopeConfig(), schedule="order3"), 0.0, SlopeState())  # type: ignore[arg-type]


def test_the_price_is_the_mean_squared_excess_of_the_layers() -> None:
    quiet, busy = torch.zeros(2, 3, 4), torch.zeros(2, 3, 5)
    busy[:, :, :2] = 1.0  # a rate of 0.4
    assert float(sparsity_loss([quiet, busy], 0.1)) == pytest.approx(0.3**2 / 2.0)
    assert float(sparsity_loss([quiet, busy], 0.4)) == 0.0
    assert float(sparsity_loss([], 0.1)) == 0.0


def test_every_spike_of_a_busy_layer_pulls_alike_and_those_of_a_quiet_one_do_not() -> None:
    quiet = torch.zeros(2, 3, 4, requires_grad=True)
    busy = torch.ones(1, 2, 5, requires_grad=True)
    sparsity_loss([quiet, busy], 0.1).backward()
    assert quiet.grad is not None
    assert busy.grad is not None
    assert float(quiet.grad.abs().max()) == 0.0
    np.testing.assert_allclose(busy.grad, 2.0 * 0.9 / 10.0 / 2.0, rtol=1e-6)


def rates(sparsity: float, quadrotor: Quadrotor) -> np.ndarray:
    """Return the rates (layers,) on the same flights after a few updates at a price."""
    policy = learner(sparsity=sparsity, target_rate=0.02)
    replay = flown(quadrotor, learner(), 150)
    rng = np.random.default_rng(2)
    for _ in range(40):
        policy.update(replay, END_COEFFICIENTS, WEIGHTS, rng)
    generator = torch.Generator().manual_seed(0)
    observations = 0.3 * torch.randn(30, 16, 18, generator=generator)
    flown_actions, restarts = torch.zeros(30, 16, 4), torch.zeros(30, 16, dtype=torch.bool)
    _, spikes = unroll_spiking(policy.actor, observations, flown_actions, restarts, 5.0)
    return np.array([float(x.detach().mean()) for x in spikes])


@pytest.mark.slow
def test_a_price_on_spikes_lowers_the_rate_of_every_layer(quadrotor: Quadrotor) -> None:
    free, priced = rates(0.0, quadrotor), rates(300.0, quadrotor)
    assert len(free) == 2
    assert (priced < 0.8 * free).all()
