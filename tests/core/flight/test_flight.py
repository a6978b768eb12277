"""Flight on the real drone with the shipped policy: tasks, ticks, goals, starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snn_controller.control.trajectories import find_task
from snn_controller.flight.flight import Flight
from snn_controller.flight.plan import FlightPlan
from snn_controller.policy.runtime import Policy
from snn_controller.safety.guards import Limits
from snn_controller.safety.state_machine import Mode
from snn_controller.vehicle.airframe import Quadrotor
from support.flight_loop import Loop, fly_at, modes
from support.states import TICK_NS, hovering, sample


def test_hover_is_flown_by_the_policy_to_its_end(loop: Callable[..., Loop]) -> None:
    flown = loop(duration=5.0)
    flown.run(10.0)
    flight = flown.flight
    assert flight.done
    assert modes(flight) == ["policy"]
    assert flight.time == pytest.approx(5.0, abs=0.011)
    assert np.linalg.norm(flown.drone.state.position - flight.plan.hover_point) < 0.1


@pytest.mark.parametrize("seed", range(1, 11))
def test_every_seed_hovers_for_twenty_seconds(loop: Callable[..., Loop], seed: int) -> None:
    flown = loop(duration=20.0, seed=seed)
    flown.run(21.0)
    assert modes(flown.flight) == ["policy"]
    errors = [
        np.linalg.norm(tick.state.position - tick.reference.position)
        for tick in flown.flight.log.ticks[-500:]
    ]
    assert np.mean(errors) < 0.10


@pytest.mark.parametrize("task", ["figure8", "figure8_fast", "square", "step"])
def test_every_task_is_flown_to_its_end(loop: Callable[..., Loop], task: str) -> None:
    flown = loop(task, duration=14.0)
    flown.run(15.0)
    assert flown.flight.done
    assert modes(flown.flight) == ["policy"]


def test_takeoff_land_leaves_and_returns_to_the_ground(loop: Callable[..., Loop]) -> None:
    flown = loop("takeoff_land", duration=2.0)
    flown.run(20.0)
    assert modes(flown.flight) == ["checks", "takeoff", "policy", "land", "disarmed"]
    assert flown.flight.verdict is None
    assert flown.flight.command.stop
    assert flown.has_landed()


def test_the_neuron_state_is_kept_between_ticks_and_reset_on_begin(
    policy: Policy, quadrotor: Quadrotor
) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 5.0), Limits())
    state = replace(hovering(), velocity=np.array([0.3, -0.2, 0.1]))
    ticks = [flight.tick(sample(state, n * TICK_NS), n * TICK_NS).values for n in range(1, 4)]
    assert not np.array_equal(ticks[0], ticks[2])  # same input, other state
    flight.begin()
    again = [flight.tick(sample(state, n * TICK_NS), n * TICK_NS).values for n in range(1, 4)]
    assert np.array_equal(ticks, again)


def test_samples_between_ticks_get_the_command_in_force(
    policy: Policy, quadrotor: Quadrotor
) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 5.0), Limits())
    first = flight.tick(sample(hovering(), TICK_NS), TICK_NS)
    between = flight.tick(sample(hovering((0.1, 0.0, 1.0)), TICK_NS + 2_000_000), TICK_NS)
    assert between is first
    assert len(flight.log.ticks) == 1


def test_goals_are_flown_to_and_bad_ones_refused(loop: Callable[..., Loop]) -> None:
    flown = loop(duration=8.0)
    assert flown.flight.set_goal(np.array([np.nan, 0.0, 1.0])) is not None
    assert flown.flight.set_goal(np.array([9.0, 0.0, 1.0])) is not None
    assert flown.flight.set_goal(np.array([0.5, 0.0, 0.0])) is not None  # RViz sends height 0
    goal = np.array([0.4, -0.3, 1.2])
    assert flown.flight.set_goal(goal) is None
    flown.run(10.0)
    assert np.linalg.norm(flown.drone.state.position - goal) < 0.15


def test_an_air_task_does_not_start_on_the_ground(policy: Policy, quadrotor: Quadrotor) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 5.0), Limits())
    command = flight.tick(sample(hovering((0.0, 0.0, 0.013)), TICK_NS), TICK_NS)
    assert command.stop
    assert flight.verdict is not None
    assert "starts in the air" in flight.verdict.reason


def test_before_the_first_odometry_silence_commands_nothing(
    policy: Policy, quadrotor: Quadrotor
) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 5.0), Limits())
    assert flight.silence(1.0, TICK_NS).stop
    assert flight.mode is Mode.DISARMED


def test_a_high_hover_point_is_given_time_to_reach(policy: Policy, quadrotor: Quadrotor) -> None:
    high = np.array([0.0, 0.0, 12.0])
    plan = FlightPlan(find_task("takeoff_land"), 2.0, hover_point=high)
    limits = Limits(geofence=[-3.0, 3.0, -3.0, 3.0, -0.5, 20.0])
    flight = Flight(policy, quadrotor, plan, limits)
    fly_at(flight, hovering((0.0, 0.0, 0.013)), 35.0)
    assert flight.mode is Mode.TAKEOFF
    fly_at(flight, hovering((0.0, 0.0, 0.013)), 5.0, start=35.0)
    assert flight.mode is Mode.DISARMED
    assert flight.verdict is not None
    assert flight.verdict.limit == "takeoff"
