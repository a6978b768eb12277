"""Flight on the real drone with the shipped policy, and every way out of normal flight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from conftest import TICK_NS, hovering, sample
from snn_controller.action import Command
from snn_controller.flight import Flight, FlightPlan, Mode
from snn_controller.policy import Policy
from snn_controller.quadrotor import Quadrotor
from snn_controller.safety import Limits
from snn_controller.state import Odometry, State
from snn_controller.tasks import find_task

from sim.drone import Drone
from sim.starts import sample_start

Alter = Callable[[Odometry], Odometry | None]


class Loop:
    """Flight and drone in a closed loop with a manual clock."""

    def __init__(
        self, policy: Policy, quadrotor: Quadrotor, task: str, duration: float, seed: int = 1
    ) -> None:
        plan = FlightPlan(task=find_task(task), duration=duration)
        self.flight = Flight(policy, quadrotor, plan, Limits())
        self.drone = Drone(quadrotor)
        start = "ground" if plan.task.from_ground else "hover"
        rng = np.random.default_rng(seed)
        self.drone.reset(*sample_start(start, rng, target=plan.hover_point, quadrotor=quadrotor))
        self.now = TICK_NS
        self.commands: list[Command] = []

    def run(self, seconds: float, alter: Alter = lambda odometry: odometry) -> None:
        """Fly until the flight is done or time is over; `alter` may spoil or drop odometry."""
        silent = 0
        for _ in range(round(seconds * 100)):
            odometry = alter(sample(self.drone.state, self.now))
            silent = silent + 1 if odometry is None else 0
            if odometry is not None:
                self.commands.append(self.flight.tick(odometry, self.now))
            elif silent > 10:
                self.commands.append(self.flight.silence(silent / 100, self.now))
            command = self.flight.command
            self.drone.step(None if command.stop else command.values)
            self.now += TICK_NS
            if self.flight.done:
                return

    def has_landed(self) -> bool:
        """Whether the drone rests upright on the ground once the motors have been off a while."""
        for _ in range(50):
            assert self.flight.command.stop
            self.drone.step(None)
        return self.drone.touching_ground and self.drone.state.rotation[2, 2] > 0.99


@pytest.fixture
def loop(policy: Policy, quadrotor: Quadrotor) -> Callable[..., Loop]:
    return lambda task="hover", duration=5.0, **kw: Loop(policy, quadrotor, task, duration, **kw)


def poison(odometry: Odometry) -> Odometry:
    state = replace(odometry.state, velocity=np.full(3, np.nan))
    return replace(odometry, state=state)


def modes(flight: Flight) -> list[str]:
    seen: list[str] = []
    for tick in flight.log.ticks:
        if not seen or seen[-1] != tick.mode:
            seen.append(tick.mode)
    return seen


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
    assert modes(flown.flight) == ["takeoff", "policy", "land", "stopped"]
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


def test_bad_odometry_in_flight_is_a_level_descent_then_motors_off(
    loop: Callable[..., Loop],
) -> None:
    flown = loop(duration=20.0)
    flown.run(1.0)
    flown.run(0.03, poison)
    assert flown.flight.mode is Mode.DESCENT
    throttle = flown.flight.command.values
    assert np.ptp(throttle) == 0.0
    assert 0.0 < throttle[0] < flown.drone.quadrotor.hover_throttle
    flown.run(flown.flight.plan.descent_time + 0.05, poison)
    assert flown.flight.mode is Mode.STOPPED
    assert flown.flight.command.stop
    assert flown.flight.verdict is not None
    assert flown.flight.verdict.limit == "finite"


def test_silence_in_flight_is_a_descent_and_the_guide_lands_when_odometry_returns(
    loop: Callable[..., Loop],
) -> None:
    flown = loop(duration=20.0)
    flown.run(1.0)
    flown.run(0.3, lambda _: None)
    assert flown.flight.mode is Mode.DESCENT
    flown.run(10.0)
    assert modes(flown.flight) == ["policy", "descent", "fallback", "stopped"]
    assert flown.has_landed()


def test_bad_odometry_on_the_ground_stops_at_once(loop: Callable[..., Loop]) -> None:
    flown = loop("takeoff_land")
    flown.run(0.01, poison)
    assert flown.flight.mode is Mode.STOPPED
    assert all(command.stop for command in flown.commands)
    assert flown.flight.done


@pytest.mark.parametrize("frame", ["map_ned", ""])
def test_a_wrong_frame_never_turns_a_motor(loop: Callable[..., Loop], frame: str) -> None:
    flown = loop()
    flown.run(0.05, lambda odometry: replace(odometry, frame=frame))
    assert flown.flight.mode is Mode.STOPPED
    assert all(command.stop for command in flown.commands)


def test_leaving_the_geofence_hands_over_to_the_guide_which_lands(
    loop: Callable[..., Loop],
) -> None:
    flown = loop(duration=20.0)
    flown.run(1.0)
    outside = State.at_rest(np.array([3.2, 0.0, 1.0]))
    flown.drone.reset(outside, flown.drone.rotors)
    flown.run(0.02)
    assert flown.flight.mode is Mode.FALLBACK
    assert flown.flight.verdict is not None
    assert flown.flight.verdict.limit == "geofence"
    flown.run(10.0)
    assert modes(flown.flight) == ["policy", "fallback", "stopped"]
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


def test_odometry_slower_than_the_policy_hands_over(
    loop: Callable[..., Loop], policy: Policy, quadrotor: Quadrotor
) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 20.0), Limits())
    for number in range(1, 120):
        flight.tick(sample(hovering(), number * 2 * TICK_NS), number * 2 * TICK_NS)
    assert flight.mode is Mode.FALLBACK
    assert flight.verdict is not None
    assert flight.verdict.limit == "rate"


def test_touching_the_ground_unasked_stops_the_motors(loop: Callable[..., Loop]) -> None:
    flown = loop(duration=20.0)
    flown.run(0.5)
    flown.drone.reset(State.at_rest(np.array([0.0, 0.0, 0.02])), flown.drone.rotors)
    flown.run(0.02)
    assert flown.flight.mode is Mode.STOPPED
    assert flown.flight.command.stop


def test_an_air_task_does_not_start_on_the_ground(policy: Policy, quadrotor: Quadrotor) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 5.0), Limits())
    command = flight.tick(sample(hovering((0.0, 0.0, 0.013)), TICK_NS), TICK_NS)
    assert command.stop
    assert flight.verdict is not None
    assert "starts in the air" in flight.verdict.reason


def test_goals_are_flown_to_and_bad_ones_refused(loop: Callable[..., Loop]) -> None:
    flown = loop(duration=8.0)
    assert flown.flight.set_goal(np.array([np.nan, 0.0, 1.0])) is not None
    assert flown.flight.set_goal(np.array([9.0, 0.0, 1.0])) is not None
    assert flown.flight.set_goal(np.array([0.5, 0.0, 0.0])) is not None  # RViz sends height 0
    goal = np.array([0.4, -0.3, 1.2])
    assert flown.flight.set_goal(goal) is None
    flown.run(10.0)
    assert np.linalg.norm(flown.drone.state.position - goal) < 0.15


def test_before_the_first_odometry_silence_commands_nothing(
    policy: Policy, quadrotor: Quadrotor
) -> None:
    flight = Flight(policy, quadrotor, FlightPlan(find_task("hover"), 5.0), Limits())
    assert flight.silence(1.0, TICK_NS).stop
    assert flight.mode is Mode.IDLE


def fly_at(flight: Flight, state: State, seconds: float, start: float = 0.0) -> None:
    """Tick a flight with one and the same state, whatever it commands."""
    for number in range(round(start * 100) + 1, round((start + seconds) * 100) + 1):
        flight.tick(sample(state, number * TICK_NS), number * TICK_NS)


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
    assert flight.mode is Mode.STOPPED
    assert flight.command.stop
    assert flight.verdict is not None
    assert flight.verdict.limit == "landing"


def test_a_high_hover_point_is_given_time_to_reach(policy: Policy, quadrotor: Quadrotor) -> None:
    high = np.array([0.0, 0.0, 12.0])
    plan = FlightPlan(find_task("takeoff_land"), 2.0, hover_point=high)
    limits = Limits(geofence_upper=np.array([3.0, 3.0, 20.0]))
    flight = Flight(policy, quadrotor, plan, limits)
    fly_at(flight, hovering((0.0, 0.0, 0.013)), 20.0)
    assert flight.mode is Mode.TAKEOFF
    fly_at(flight, hovering(tuple(high)), 0.1, start=20.0)
    assert flight.mode is Mode.POLICY


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
    flight.tick(sample(hovering(), 3600 * 10**9), 11 * TICK_NS)
    assert flight.mode is Mode.DESCENT
    assert flight.time < 1.0
    fly_at(flight, hovering(), 0.1, start=0.12)
    assert flight.mode is Mode.FALLBACK
