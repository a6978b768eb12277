"""Flights that an operator asks for, and what he is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snn_controller.safety.guard import Verdict
from snn_controller.safety.state_machine import Event, Mode
from snn_controller.vehicle.state import Odometry
from support.flight_loop import Loop, modes, poison

MS = 1_000_000


@pytest.fixture
def operated(loop: Callable[..., Loop]) -> Callable[..., Loop]:
    def make(**options: object) -> Loop:
        return loop(**{"task": "hover", "duration": 2.0, "auto_start": False, **options})

    return make


def in_air(flown: Loop) -> Loop:
    flown.run(0.1)
    assert flown.ask(Event.ARM) is None
    flown.run(0.6)
    assert flown.ask(Event.TAKE_OFF) is None
    flown.run(3.0)
    return flown


def test_nothing_moves_before_the_operator_asks(operated: Callable[..., Loop]) -> None:
    flown = operated()
    flown.run(2.0)
    assert modes(flown.flight) == ["disarmed"]
    assert all(command.stop for command in flown.commands)
    assert not flown.flight.done


def test_arm_take_off_fly_land_and_again(operated: Callable[..., Loop]) -> None:
    flown = operated()
    for _ in range(2):
        in_air(flown)
        assert flown.flight.mode is Mode.POLICY
        flown.run(6.0)
        assert flown.flight.mode is Mode.DISARMED
        assert flown.flight.verdict is None
    cycle = ["checks", "armed", "takeoff", "policy", "land", "disarmed"]
    again = ["checks", "arming", *cycle[1:]]  # landed, the vehicle has disarmed
    assert modes(flown.flight) == ["disarmed", *cycle, *again]


def test_arming_waits_for_the_vehicle_and_passes_its_reason_on(
    operated: Callable[..., Loop],
) -> None:
    flown = operated()
    flown.hear(armed=False, refusal="throttle is not low")
    flown.run(0.1)
    assert flown.ask(Event.ARM) is None
    flown.run(5.0)
    assert flown.flight.mode is Mode.ARMING
    flown.run(6.0)
    assert flown.flight.mode is Mode.DISARMED
    assert flown.limit == "vehicle"
    assert "throttle is not low" in flown.flight.verdict.reason
    assert all(command.stop for command in flown.commands)


def test_a_vehicle_without_a_reason_is_given_up_too(operated: Callable[..., Loop]) -> None:
    flown = operated()
    flown.hear(in_control=False)
    flown.run(0.1)
    flown.ask(Event.ARM)
    flown.run(11.0)
    assert "no answer" in flown.flight.verdict.reason


def test_an_armed_drone_that_nobody_flies_is_disarmed(operated: Callable[..., Loop]) -> None:
    flown = operated()
    flown.run(0.1)
    flown.ask(Event.ARM)
    flown.run(29.0)
    assert flown.flight.mode is Mode.ARMED
    flown.run(3.0)
    assert flown.flight.mode is Mode.DISARMED
    assert flown.limit == "idle"


def test_disarm_on_the_ground_but_not_in_the_air(operated: Callable[..., Loop]) -> None:
    flown = operated()
    flown.run(0.1)
    flown.ask(Event.ARM)
    flown.run(0.6)
    assert flown.ask(Event.DISARM) is None
    assert flown.flight.mode is Mode.DISARMED
    in_air(flown)
    assert "would fall" in str(flown.ask(Event.DISARM))
    assert flown.flight.mode is Mode.POLICY


def test_land_on_request_is_a_landing_without_a_verdict(operated: Callable[..., Loop]) -> None:
    flown = in_air(operated(duration=20.0))
    assert flown.ask(Event.LAND) is None
    assert flown.flight.mode is Mode.LAND
    flown.run(10.0)
    assert flown.flight.mode is Mode.DISARMED
    assert flown.flight.verdict is None
    assert flown.flight.landed_on_request
    assert flown.has_landed()


def test_kill_stops_motors_before_the_next_sample_and_for_good(
    operated: Callable[..., Loop],
) -> None:
    flown = in_air(operated(duration=20.0))
    assert flown.ask(Event.KILL) is None
    assert flown.flight.command.stop
    assert flown.limit == "ended"
    assert flown.flight.done
    flown.run(0.05)
    assert flown.flight.silence(1.0, flown.now).stop
    assert "flight is over" in str(flown.ask(Event.ARM))
    flown.flight.begin()
    assert flown.flight.mode is Mode.DISARMED


@pytest.mark.parametrize("has_pilot", [True, False])
def test_the_pilot_takes_over_where_there_is_one(
    operated: Callable[..., Loop], has_pilot: bool
) -> None:
    flown = in_air(operated(duration=20.0, has_pilot=has_pilot))
    reason = flown.ask(Event.HAND_OVER)
    if has_pilot:
        assert reason is None
        assert flown.flight.command is None
        flown.run(0.02)
        assert flown.flight.stop(flown.flight.verdict) is None  # the pilot's motors go on
        assert flown.flight.mode is Mode.PILOT
        assert np.array_equal(flown.flight.log.ticks[-1].command, np.zeros(4))
        assert flown.ask(Event.KILL) is None
        assert flown.flight.command.stop
    else:
        assert "no pilot" in str(reason)
        assert flown.flight.mode is Mode.POLICY


def test_arming_is_refused_while_odometry_is_bad_or_silent(operated: Callable[..., Loop]) -> None:
    flown = operated()
    assert "no odometry has come yet" in str(flown.ask(Event.ARM))
    flown.run(0.05, poison)
    assert "not finite" in str(flown.ask(Event.ARM))
    flown.run(0.05)
    flown.run(0.5, lambda _: None)
    assert "no odometry for 5" in str(flown.ask(Event.ARM))
    flown.run(0.05)
    assert flown.ask(Event.ARM) is None


def moving(odometry: Odometry) -> Odometry:
    return replace(odometry, state=replace(odometry.state, velocity=np.array([0.3, 0.0, 0.0])))


def test_arming_is_refused_while_the_drone_moves(operated: Callable[..., Loop]) -> None:
    flown = operated()
    flown.run(0.03, moving)
    assert "moves at 0.30 m/s" in str(flown.ask(Event.ARM))


def test_a_drone_that_does_not_come_to_rest_is_not_armed(operated: Callable[..., Loop]) -> None:
    flown = operated()
    flown.run(0.1)
    assert flown.ask(Event.ARM) is None
    shaken = iter(range(10_000))
    flown.run(4.0, lambda sample: moving(sample) if next(shaken) % 40 == 0 else sample)
    assert flown.flight.mode is Mode.CHECKS
    flown.run(2.0, lambda sample: moving(sample) if next(shaken) % 2 == 0 else sample)
    assert flown.flight.mode is Mode.DISARMED
    assert flown.limit == "rest"


def test_an_operator_arms_on_the_ground_only(operated: Callable[..., Loop]) -> None:
    flown = operated()

    def lifted(odometry: Odometry) -> Odometry:
        position = odometry.state.position + np.array([0.0, 0.0, 1.0])
        return replace(odometry, state=replace(odometry.state, position=position))

    flown.run(0.1, lifted)
    flown.ask(Event.ARM)
    flown.run(0.1, lifted)
    assert flown.flight.mode is Mode.DISARMED
    assert flown.limit == "start"
    assert "1.01 m" in flown.flight.verdict.reason


@pytest.mark.parametrize("state", ["checks", "armed"])
def test_bad_odometry_disarms_on_the_ground(operated: Callable[..., Loop], state: str) -> None:
    flown = operated()
    flown.run(0.1)
    flown.ask(Event.ARM)
    flown.run(0.2 if state == "checks" else 0.6)
    assert flown.flight.mode.value == state
    flown.run(0.01, poison)
    assert flown.flight.mode is Mode.DISARMED
    assert flown.limit == "finite"


@pytest.mark.parametrize(
    ("has_pilot", "mode"), [(True, Mode.PILOT), (False, Mode.KILLED)], ids=["pilot", "alone"]
)
def test_ended_from_outside_in_the_air_leaves_the_drone_to_its_pilot(
    operated: Callable[..., Loop], has_pilot: bool, mode: Mode
) -> None:
    flown = in_air(operated(duration=20.0, has_pilot=has_pilot))
    flown.flight.stop(Verdict("ended", "Ctrl-C"))
    assert flown.flight.mode is mode and flown.flight.done
    assert (flown.flight.command is not None and flown.flight.command.stop) is not has_pilot


def test_ended_from_outside_on_the_ground_stops_the_motors(operated: Callable[..., Loop]) -> None:
    flown = operated(duration=20.0, has_pilot=True)
    flown.flight.stop(Verdict("ended", "Ctrl-C"))
    assert flown.flight.mode is Mode.KILLED
