"""Every way out of normal flight that odometry, the envelope or the policy open."""

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
from support.flight_loop import Loop, fly_at, modes, poison
from support.states import TICK_NS, hovering, sample


def test_bad_odometry_in_flight_is_a_level_descent_then_motors_off(
    loop: Callable[..., Loop],
) -> None:
    flown = loop(duration=20.0)
    flown.run(1.0)
    flown.run(0.03, poison)
    assert flown.flight.mode is Mode.DESCENT
    flown.run(0.8, poison)
    assert flown.drone.state.rotation[2, 2] > 0.99  # level, by dead reckoning
    assert np.linalg.norm(flown.drone.state.velocity[:2]) < 0.5
    assert -1.0 < flown.drone.state.velocity[2] < -0.6
    flown.run(flown.flight.plan.descent_time, poison)
    assert flown.flight.mode is Mode.KILLED
    assert flown.flight.command.stop
    assert flown.flight.verdict is not None
    assert flown.flight.verdict.limit == "descent"
    assert "not finite" in flown.flight.verdict.reason


def test_silence_in_flight_is_a_descent_and_the_guide_lands_when_odometry_returns(
    loop: Callable[..., Loop],
) -> None:
    flown = loop(duration=20.0)
    flown.run(1.0)
    flown.run(0.3, lambda _: None)
    assert flown.flight.mode is Mode.DESCENT
    flown.run(10.0)
    assert modes(flown.flight) == ["policy", "descent", "fallback", "disarmed"]
    assert flown.has_landed()


def test_bad_odometry_on_the_ground_stops_at_once(loop: Callable[..., Loop]) -> None:
    flown = loop("takeoff_land")
    flown.run(0.01, poison)
    assert flown.flight.mode is Mode.DISARMED
    assert all(command.stop for command in flown.commands)
    assert flown.flight.done


@pytest.mark.parametrize("frame", ["map_ned", ""])
def test_a_wrong_frame_never_turns_a_motor(loop: Callable[..., Loop], frame: str) -> None:
    flown = loop()
    flown.run(0.05, lambda odometry: replace(odometry, frame=frame))
    assert flown.flight.mode is Mode.DISARMED
    assert all(command.stop for command in flown.commands)


def test_leaving_the_geofence_hands_over_to_the_guide_which_lands(
    loop: Callable[..., Loop],
) -> None:
    limits = Limits(geofence=[-1.0, 0.7, -1.0, 1.0, -0.5, 3.0])
    flown = loop("step", duration=20.0, limits=limits)
    while flown.flight.mode is not Mode.FALLBACK:
        flown.run(0.01)
    assert 0.7 < flown.drone.state.position[0] < 0.75
    assert flown.flight.verdict is not None
    assert flown.flight.verdict.limit == "geofence"
    flown.run(10.0)
    assert modes(flown.flight) == ["policy", "fallback", "disarmed"]
    assert flown.has_landed()


def test_a_policy_that_is_not_finite_hands_over_in_the_same_tick(
    loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    flown = loop(duration=20.0)
    flown.run(0.5)
    monkeypatch.setattr(flown.flight.policy, "step", lambda *_, **__: np.full(4, np.nan))
    flown.run(0.01)
    assert flown.flight.mode is Mode.FALLBACK
    assert np.isfinite(flown.flight.command.values).all()
    flown.run(10.0)
    assert flown.has_landed()


@pytest.mark.parametrize(("has_pilot", "mode"), [(True, Mode.PILOT), (False, Mode.DESCENT)])
def test_a_vehicle_that_is_neither_seen_nor_heard_is_left_to_its_pilot(
    loop: Callable[..., Loop], has_pilot: bool, mode: Mode
) -> None:
    """A kill would reach it only when the link is back, while its firmware holds it."""
    flown = loop(duration=20.0, has_pilot=has_pilot)
    flown.run(1.0)
    flown.run(0.2, lambda _: None)
    assert flown.flight.mode is Mode.DESCENT
    flown.hear(age=0.4)
    flown.run(0.15, lambda _: None)
    assert flown.flight.mode is mode
    assert flown.limit == ("link" if has_pilot else "silence")


def test_odometry_slower_than_the_policy_hands_over(
    loop: Callable[..., Loop], policy: Policy, quadrotor: Quadrotor
) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 20.0), Limits())
    for number in range(1, 120):
        state = hovering((number * 1e-9, 0.0, 1.0))
        flight.tick(sample(state, number * 2 * TICK_NS), number * 2 * TICK_NS)
    assert flight.mode is Mode.FALLBACK
    assert flight.verdict is not None
    assert flight.verdict.limit == "rate"


def test_touching_the_ground_unasked_stops_the_motors(loop: Callable[..., Loop]) -> None:
    flown = loop(duration=20.0, limits=Limits(max_speed=50.0))
    flown.run(0.5)
    flown.run(2.0, force=np.array([0.0, 0.0, -0.36]))  # more would show as a jump at the impact
    assert flown.limit == "ground"
    assert flown.flight.mode is Mode.KILLED
    assert flown.flight.command.stop


@pytest.mark.parametrize("height", [0.06, 0.5])
def test_a_landing_that_never_finds_the_ground_ends(
    policy: Policy, quadrotor: Quadrotor, height: float
) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 20.0), Limits())
    fly_at(flight, hovering(), 0.1)
    fly_at(flight, hovering((9.0, 0.0, 1.0)), 0.1, start=0.1)
    fly_at(flight, hovering((9.0, 0.0, height)), 15.0, start=0.2)
    assert flight.mode is Mode.FALLBACK
    fly_at(flight, hovering((9.0, 0.0, height)), 5.0, start=15.2)
    assert flight.mode is Mode.KILLED
    assert flight.command.stop
    assert flight.verdict is not None
    assert flight.verdict.limit == "landing"


def test_a_takeoff_that_does_not_arrive_is_given_up(policy: Policy, quadrotor: Quadrotor) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("takeoff_land"), 2.0), Limits())
    fly_at(flight, hovering((0.0, 0.0, 0.3)), 0.1)  # in the air already: the policy flies at once
    assert flight.mode is Mode.POLICY
    flight.begin()
    fly_at(flight, hovering((0.0, 0.0, 0.08)), 18.0)
    assert flight.mode is Mode.FALLBACK
    assert flight.verdict is not None
    assert flight.verdict.limit == "takeoff"


def test_a_stamp_from_the_future_is_not_flown_on(policy: Policy, quadrotor: Quadrotor) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 20.0), Limits())
    fly_at(flight, hovering(), 0.1)
    for number in (11, 12):  # one bad sample is let pass
        flight.tick(sample(hovering(), 3600 * 10**9), number * TICK_NS)
    assert flight.mode is Mode.DESCENT
    assert flight.time < 1.0
    fly_at(flight, hovering(), 0.1, start=0.12)
    assert flight.mode is Mode.FALLBACK
