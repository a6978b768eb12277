"""The loop around a flight: odometry late, repeated, ahead; silence, link, operator, end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snn_controller.control.trajectories import find_task
from snn_controller.flight.control_loop import DISARM_TIME, SIMULATOR_PATIENCE, Clocks, ControlLoop
from snn_controller.flight.flight import Flight
from snn_controller.flight.plan import FlightPlan
from snn_controller.policy.runtime import Policy
from snn_controller.safety.guards import Limits
from snn_controller.safety.state_machine import Event, Mode
from snn_controller.vehicle.action import ACTION_KINDS, Command
from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.flight_controller import LinkStatus
from snn_controller.vehicle.state import Odometry, State
from support.states import TICK_NS, hovering, sample

FIRST = 1_000_000_000
SECOND = 1_000_000_000


class Link:
    """A link that writes down what it is told."""

    name, action_kinds, has_pilot, description = "fake", frozenset(ACTION_KINDS), True, "a fake"

    def __init__(self) -> None:
        self.status = LinkStatus()
        self.calls: list[str] = []  # but `send` and `poll`
        self.sent: list[tuple[Command, int]] = []

    def poll(self, now: int) -> LinkStatus:
        status, self.status = self.status, replace(self.status, odometry=None)
        return status

    def send(self, command: Command, stamp: int) -> None:
        self.sent.append((command, stamp))

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


class Manual:
    """A loop on clocks that are set by hand."""

    def __init__(
        self, policy: Policy, quadrotor: Quadrotor, *, simulated: bool = False, **plan: Any
    ) -> None:
        self.now, self.steady = FIRST, 0
        self.link = Link()
        self.told: list[Mode] = []
        self.announced: list[Mode] = []
        self.finished = 0
        flight_plan = FlightPlan(find_task("hover"), **{"duration": 60.0, **plan})
        self.flight = Flight(policy, quadrotor, flight_plan, Limits())
        self.loop = ControlLoop(
            self.flight,
            self.link,
            Clocks(lambda: self.now, lambda: self.steady, simulated=simulated),
            startup_timeout=5.0,
            source="/odom",
            tell=lambda flight: self.told.append(flight.mode),
            announce=lambda flight: self.announced.append(flight.mode),
            finish=self._finish,
        )

    def _finish(self) -> None:
        self.finished += 1
        self.loop.close()

    def pass_time(self, ticks: int = 1) -> None:
        self.now += ticks * TICK_NS
        self.steady += ticks * TICK_NS

    def sample(self, stamp: int | None = None, state: State | None = None) -> Odometry:
        stamp = self.now if stamp is None else stamp
        moving = replace(hovering(), velocity=np.full(3, stamp % 1000 * 1e-9 + stamp * 1e-18))
        return sample(state or moving, stamp)

    def fly(self, ticks: int, state: State | None = None) -> None:
        for _ in range(ticks):
            self.pass_time()
            self.loop.answer(self.sample(state=state))

    @property
    def stamps(self) -> list[int]:
        return [stamp for _, stamp in self.link.sent]


@pytest.fixture
def make(policy: Policy, quadrotor: Quadrotor) -> Callable[..., Manual]:
    return lambda **options: Manual(policy, quadrotor, **options)


STANDING = hovering((0.0, 0.0, 0.0125))


def test_each_sample_is_answered_once_with_its_stamp(make: Callable[..., Manual]) -> None:
    run = make()
    run.fly(5)
    assert run.stamps == [FIRST + n * TICK_NS for n in range(1, 6)]
    assert run.told == [Mode.POLICY] * 5
    assert len(run.flight.log.latencies) == 5 and run.flight.log.periods == [0.01] * 4


def test_late_odometry_is_dropped_and_repeated_odometry_gets_the_command_in_force(
    make: Callable[..., Manual],
) -> None:
    run = make()
    run.fly(3)
    run.loop.answer(run.sample(run.now - TICK_NS))
    assert len(run.link.sent) == 3
    run.loop.answer(run.sample())
    assert run.link.sent[3] == run.link.sent[2]
    assert run.flight.log.count == 3


def test_a_stamp_far_ahead_does_not_outdate_what_follows(make: Callable[..., Manual]) -> None:
    run = make()
    run.fly(3)
    run.pass_time()
    run.loop.answer(run.sample(run.now + 3600 * SECOND))
    assert run.loop.answered == run.now - TICK_NS
    run.fly(3)
    assert run.flight.mode is Mode.POLICY
    assert run.loop.answered == run.now


def test_odometry_between_two_ticks_is_answered_without_a_tick(
    make: Callable[..., Manual],
) -> None:
    run = make()
    run.fly(2)
    run.now += TICK_NS // 4
    run.loop.answer(run.sample())
    assert len(run.link.sent) == 3 and len(run.told) == 2


def test_silence_is_noticed_after_its_time_and_commands_nothing_new_before(
    make: Callable[..., Manual],
) -> None:
    run = make()
    run.fly(3)
    for _ in range(10):
        run.pass_time()
        run.loop.watch()
    assert len(run.link.sent) == 3 and not run.announced
    run.pass_time()
    run.loop.watch()
    assert run.flight.mode is Mode.DESCENT and run.announced == [Mode.DESCENT]
    assert run.stamps[-1] == run.now


@pytest.mark.parametrize(("wall", "mode"), [(0.5, Mode.POLICY), (SIMULATOR_PATIENCE, Mode.DESCENT)])
def test_a_simulator_may_stall_but_not_for_ever(
    make: Callable[..., Manual], wall: float, mode: Mode
) -> None:
    run = make(simulated=True)
    run.fly(3)
    run.steady += round(wall * SECOND)  # and its own clock stands still
    run.loop.watch()
    assert run.flight.mode is mode


def test_a_simulators_clock_that_runs_on_is_silence(make: Callable[..., Manual]) -> None:
    run = make(simulated=True)
    run.fly(3)
    run.now += 11 * TICK_NS
    run.loop.watch()
    assert run.flight.mode is Mode.DESCENT


def test_a_simulators_clock_may_come_after_its_odometry(make: Callable[..., Manual]) -> None:
    run = make(simulated=True)
    run.now = 0
    for number in range(5):
        run.loop.answer(run.sample(FIRST + number * TICK_NS))
    assert run.flight.mode is Mode.POLICY and run.flight.verdict is None


def test_odometry_that_never_comes_ends_a_flight_that_arms_by_itself(
    make: Callable[..., Manual],
) -> None:
    for auto_start, finished in ((True, 1), (False, 0)):
        run = make(auto_start=auto_start)
        run.pass_time(499)
        run.loop.watch()
        assert not run.finished
        run.pass_time(2)
        run.loop.watch()
        assert run.finished == finished
        verdict = run.flight.verdict
        assert (
            verdict is not None and "no odometry on /odom for 5 s" in verdict.reason
        ) == finished
        assert not run.link.sent


def test_odometry_that_the_link_tells_is_answered_once(make: Callable[..., Manual]) -> None:
    run = make()
    for _ in range(3):
        run.pass_time()
        run.link.status = LinkStatus(odometry=run.sample())
        run.loop.watch()
        run.loop.watch()
    assert run.stamps == [FIRST + n * TICK_NS for n in range(1, 4)]


def test_odometry_of_any_poll_is_kept_for_the_next_watch(make: Callable[..., Manual]) -> None:
    run = make()
    run.pass_time()
    run.link.status = LinkStatus(odometry=run.sample())
    run.loop.poll()
    run.loop.poll()
    run.loop.watch()
    assert run.stamps == [run.now]


def test_a_link_is_asked_once_for_each_state(make: Callable[..., Manual]) -> None:
    run = make(auto_start=False)
    run.link.status = LinkStatus(armed=False)
    run.fly(60, STANDING)
    run.loop.poll()
    assert run.link.calls == []
    assert run.loop.ask(Event.ARM) is None
    run.fly(5, STANDING)
    assert run.flight.mode is Mode.ARMING
    assert run.loop.ask(Event.DISARM) is None
    run.fly(2, STANDING)
    assert run.loop.ask(Event.KILL) is None
    run.loop.close()
    run.loop.close()
    assert run.link.calls == ["arm", "disarm", "kill", "close"]
    assert all(command.stop for command, _ in run.link.sent)


def test_a_request_is_carried_out_before_the_next_sample_or_refused_in_a_sentence(
    make: Callable[..., Manual],
) -> None:
    run = make()
    run.fly(3)
    assert "would fall" in str(run.loop.ask(Event.DISARM))
    assert run.loop.ask(Event.KILL) is None
    command, stamp = run.link.sent[-1]
    assert command.stop and stamp == run.now
    assert run.announced == [Mode.POLICY, Mode.KILLED]


def test_a_pilots_drone_is_handed_back_and_sent_nothing(make: Callable[..., Manual]) -> None:
    run = make(has_pilot=True)
    run.fly(3)
    run.loop.stop("Ctrl-C")
    assert len(run.link.sent) == 3
    run.loop.close()  # the pilot's motors go on
    assert run.link.calls == ["hand_back"]
    assert run.flight.verdict is not None and run.flight.verdict.reason == "Ctrl-C"


def test_ended_from_outside_motors_stop(make: Callable[..., Manual]) -> None:
    run = make()
    run.fly(3)
    run.loop.stop("Ctrl-C")
    run.loop.close()
    assert run.link.sent[-1][0].stop and run.link.calls == ["kill", "close"]
    run.fly(1)
    run.loop.watch()
    assert len(run.link.sent) == 4  # nothing follows


def test_a_flight_ends_when_its_vehicle_has_disarmed_or_had_time_to(
    make: Callable[..., Manual],
) -> None:
    for disarms in (True, False):
        run = make()
        run.fly(3)
        assert run.loop.ask(Event.KILL) is None  # and the vehicle says that it is armed
        assert not run.finished
        run.pass_time(round(DISARM_TIME * 100))
        run.link.status = LinkStatus(armed=not disarms)
        run.loop.watch()
        assert run.finished == disarms
        run.pass_time()
        run.loop.watch()
        assert run.finished == 1


def test_nobody_waits_for_a_pilot_or_for_a_task_that_is_over_in_the_air(
    make: Callable[..., Manual],
) -> None:
    run = make(duration=0.1)
    run.fly(20)
    assert run.finished == 1 and run.flight.mode is Mode.POLICY
    run = make(has_pilot=True)
    run.fly(3)
    assert run.loop.ask(Event.HAND_OVER) is None
    assert run.finished == 1


def test_an_accelerometer_counts_on_the_ground_only(make: Callable[..., Manual]) -> None:
    run = make(auto_start=False)
    run.loop.specific_force = np.array([0.0, 0.0, -9.81])
    run.fly(60, STANDING)
    assert "FRD or NED" in str(run.loop.ask(Event.ARM))
    run = make()
    run.fly(1)
    run.loop.specific_force = np.array([0.0, 0.0, -9.81])
    run.fly(3)
    assert run.flight.mode is Mode.POLICY
