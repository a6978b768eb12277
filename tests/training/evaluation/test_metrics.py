"""Scores of an episode and their intervals, on episodes made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snn_controller.policy.energy import NetworkSize
from snn_controller.vehicle.state import Reference, State
from snn_sim.task.episode import EPISODE_STEPS
from snn_training.evaluation.flights import Episode
from snn_training.evaluation.metrics import (
    NORMAL_95,
    STEADY_STEPS,
    score_episode,
    score_network,
    summarise,
)

HOVER = 0.66
REFERENCE = Reference(np.array([1.0, 2.0, 3.0]))


def episode(steps: int = EPISODE_STEPS, **changes: Any) -> Episode:
    """Return a perfect hover of some steps."""
    perfect = Episode(
        states=State(
            position=np.tile(REFERENCE.position, (steps, 1)),
            quaternion=np.tile([0.0, 0.0, 0.0, 1.0], (steps, 1)),
            velocity=np.zeros((steps, 3)),
            body_rates=np.zeros((steps, 3)),
        ),
        actions=np.full((steps, 4), 2 * HOVER - 1),
        throttles=np.full((steps, 4), HOVER),
        crashed=False,
        spike_rates={"hidden": 0.25},
        synaptic_ops=100.0,
    )
    return replace(perfect, **changes)


def score(flown: Episode) -> dict[str, float]:
    return score_episode(flown, REFERENCE, hover_throttle=HOVER)


def test_perfect_hover_scores_500_with_either_coefficients() -> None:
    scores = score(episode())
    assert scores["return_start"] == scores["return_end"] == 500.0
    assert scores["survival"] == 1.0
    assert scores["length"] == 500.0
    errors = ("rms_xy_m", "rms_z_m", "steady_xy_m", "steady_z_m", "action_step")
    assert [scores[name] for name in errors] == [0.0] * len(errors)


def test_errors_are_horizontal_and_vertical_and_steady_ones_of_the_last_second() -> None:
    flown = episode()
    flown.states.position[:-STEADY_STEPS] += [0.3, 0.4, -0.1]
    flown.states.position[-STEADY_STEPS:] += [0.03, 0.04, 0.02]
    scores = score(flown)
    assert scores["steady_xy_m"] == pytest.approx(0.05)
    assert scores["steady_z_m"] == pytest.approx(0.02)
    assert scores["rms_xy_m"] == pytest.approx(np.sqrt(0.8 * 0.25 + 0.2 * 0.0025))
    assert scores["rms_z_m"] == pytest.approx(np.sqrt(0.8 * 0.01 + 0.2 * 0.0004))


def test_a_crash_ends_the_return_and_has_no_steady_error() -> None:
    scores = score(episode(40, crashed=True))
    assert scores["survival"] == 0.0
    assert scores["return_start"] == pytest.approx(40.0)
    assert np.isnan(scores["steady_xy_m"])


def test_a_step_that_is_not_finite_earns_nothing() -> None:
    flown = episode(10, crashed=True)
    flown.states.position[-1] = np.nan
    assert score(flown)["return_end"] == pytest.approx(9.0)


def test_action_step_is_the_mean_change_per_motor() -> None:
    flown = episode(101)
    flown.actions[::2] += 0.1
    assert score(flown)["action_step"] == pytest.approx(0.1)
    assert np.isnan(score(episode(1, crashed=True))["action_step"])


def test_summary_has_mean_and_interval_without_what_is_undefined() -> None:
    rows = [score(episode()) for _ in range(3)] + [score(episode(40, crashed=True))]
    summary = summarise(rows)
    assert summary["episodes"] == 4
    assert summary["survival"]["mean"] == 0.75
    assert summary["steady_xy_m"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    half = NORMAL_95 * np.std([500, 500, 500, 40], ddof=1) / 2
    assert summary["return_start"]["mean"] == pytest.approx(385.0)
    assert summary["return_start"]["high"] == pytest.approx(385.0 + half)


def test_network_scores_have_energies_where_its_size_is_known() -> None:
    scores = score_network(episode(), NetworkSize(neurons=10, macs=1000))
    assert scores["spike_rate.hidden"] == 0.25
    assert scores["synaptic_ops"] == 100.0
    assert scores["energy_nj"] == pytest.approx(0.1 * 23.6 + 0.01 * 81.0 + 4.6)
    assert scores["energy_45nm_nj"] == pytest.approx(0.1 * 0.9 + 4.6)
    assert np.isnan(score_network(episode(), None)["energy_nj"])
    summary = summarise([scores, scores])
    assert summary["spike_rate"]["hidden"] == {"mean": 0.25, "low": 0.25, "high": 0.25}
    assert summary["energy_nj"]["mean"] == scores["energy_nj"]


def test_survival_interval_stays_inside_zero_and_one() -> None:
    summary = summarise([score(episode())] * 20)["survival"]
    assert summary["high"] == 1.0
    assert summary["low"] == pytest.approx(20 / (20 + NORMAL_95**2))  # Wilson's, at 1


def test_single_episode_and_no_survivor() -> None:
    summary = summarise([score(episode(40, crashed=True))])
    assert summary["survival"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert summary["steady_xy_m"] == {"mean": None, "low": None, "high": None}
