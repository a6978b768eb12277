"""Tracks of the fixed test: what is flown, how it is scored, both simulators. Takes about 10 s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.control.trajectories import TASKS
from snn_controller.policy.runtime import Policy
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import axis_angle_to_quaternion
from snn_controller.vehicle.state import State
from snn_training.evaluation.evaluate import Args, Simulator, evaluate
from snn_training.evaluation.flights import Episode
from snn_training.evaluation.metrics import score_flight
from snn_training.evaluation.scenarios import (
    HOVER_POINT,
    TRACKS,
    draw_flight,
    track_references,
)

QUADROTOR = load_quadrotor("crazyflie21")
DURATIONS = {"hover": 10.0, "step": 10.0, "figure8": 26.0, "figure8_fast": 13.0, "square": 18.0}


def perfect(track: str) -> Episode:
    """Return a flight on the references all the time."""
    steps = round(100 * DURATIONS[track])
    references = track_references(track, steps)
    return Episode(
        states=State(
            position=references.position.copy(),
            quaternion=np.tile([0.0, 0.0, 0.0, 1.0], (steps, 1)),
            velocity=references.velocity,
            body_rates=np.zeros((steps, 3)),
        ),
        actions=np.zeros((steps, 4)),
        throttles=np.full((steps, 4), 0.5),
        crashed=False,
        spike_rates={},
        synaptic_ops=0.0,
    )


def test_tracks_are_tasks_in_their_fixed_order() -> None:
    assert TRACKS == ("hover", "step", "figure8", "figure8_fast", "square")
    assert set(TRACKS) <= set(TASKS)


@pytest.mark.parametrize("track", TRACKS)
def test_a_flight_begins_near_its_first_reference_and_lasts_two_periods(track: str) -> None:
    draw, again, other = (draw_flight(track, 0, number, QUADROTOR) for number in (3, 3, 4))
    offset = draw.state.position - HOVER_POINT
    assert 0.0 < np.abs(offset).max() <= 0.2
    assert draw.conditions.steps == 100 * DURATIONS[track]
    np.testing.assert_array_equal(draw.state.position, again.state.position)
    assert (draw.state.position != other.state.position).all()
    validation = draw_flight(track, 0, 3, QUADROTOR, split="validation")
    assert (draw.state.position != validation.state.position).all()


@pytest.mark.parametrize("track", TRACKS)
def test_a_perfect_flight_has_no_error(track: str) -> None:
    scores = score_flight(perfect(track), track)
    assert scores == {"survival": 1.0, "rms_m": 0.0, "steady_m": 0.0, "action_step": 0.0}


def test_errors_leave_out_the_first_two_seconds() -> None:
    flight = perfect("figure8")
    flight.states.position[:200] += 0.5
    assert score_flight(flight, "figure8")["rms_m"] == 0.0
    flight.states.position[200:, 2] += 0.1
    assert score_flight(flight, "figure8")["rms_m"] == pytest.approx(0.1)


def test_errors_count_against_the_reference_of_the_same_moment() -> None:
    """A drone that lags by one step is 5.7 mm late on average; one on time is not."""
    flight = perfect("figure8_fast")
    late = np.roll(flight.states.position, 1, axis=0)
    scores = score_flight(replace(flight, states=replace(flight.states, position=late)), TRACKS[3])
    speed = np.linalg.norm(track_references(TRACKS[3], 1300).velocity[200:], axis=1)
    assert scores["rms_m"] == pytest.approx(0.01 * np.sqrt(np.mean(speed**2)), rel=0.01)


@pytest.mark.parametrize("fault", ["fence", "ground", "tilt", "short", "nan"])
def test_survival_is_that_of_flights(fault: str) -> None:
    flight = perfect("hover")
    position, quaternion = flight.states.position, flight.states.quaternion
    if fault == "fence":
        position[500, 0] = 3.1
    elif fault == "ground":
        position[500, 2] = 0.01
    elif fault == "tilt":
        quaternion[500] = axis_angle_to_quaternion(np.array([1.0, 0.0, 0.0]), np.deg2rad(125.0))
    elif fault == "nan":
        position[-1] = np.nan
    else:
        states = State(position[:900], quaternion[:900], *(np.zeros((900, 3)),) * 2)
        flight = replace(flight, states=states, actions=flight.actions[:900])
    scores = score_flight(flight, "hover")
    assert scores["survival"] == 0.0
    assert np.isnan(scores["rms_m"])


@pytest.mark.slow
def test_both_simulators_fly_the_tracks_alike() -> None:
    reports = []
    sims: tuple[Simulator, ...] = ("batched", "pybullet")
    for sim in sims:
        args = Args("geometric", sim=sim, cells=(), tracks=TRACKS, flights=2)
        reports.append(evaluate(args)["tracks"])
    batched, bullet = reports
    assert list(batched) == list(TRACKS)
    for track in TRACKS:
        assert batched[track]["survival"]["mean"] == bullet[track]["survival"]["mean"] == 1.0
        assert batched[track]["rms_m"]["mean"] == pytest.approx(
            bullet[track]["rms_m"]["mean"], abs=0.01
        )
    assert batched["hover"]["rms_m"]["mean"] < 0.02
    assert 0.1 < batched["step"]["rms_m"]["mean"] < 0.5  # the jump itself is an error of 1 m


def test_the_shipped_policy_flies_a_figure_eight(policy: Policy) -> None:
    args = Args(str(policy.path), cells=(), tracks=("figure8",), flights=3)
    scores = evaluate(args)["tracks"]["figure8"]
    assert scores["episodes"] == 3
    assert scores["survival"]["mean"] == 1.0
    assert scores["rms_m"]["mean"] < 0.15
    assert scores["energy_nj"]["mean"] > 0.0
