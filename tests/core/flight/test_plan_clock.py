"""A flight's time and stamps when odometry falls silent, comes late, or comes at once.

While nothing comes, ticks are timed by the flight's own clock. What is measured then and told later
is older than that: time must not go back, or report, page and replay cannot read the flight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snn_controller.control.trajectories import find_task
from snn_controller.flight.control_loop import Clocks, ControlLoop
from snn_controller.flight.flight import Flight
from snn_controller.flight.plan import FlightPlan
from snn_controller.flight_log import recorded_flight
from snn_controller.flight_log.store import read_record
from snn_controller.policy.runtime import Policy
from snn_controller.report.summary import FlightFacts, summarise, write_report
from snn_controller.report.survival import FlightBounds
from snn_controller.safety.guards import Limits
from snn_controller.safety.state_machine import Event
from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.flight_controller import LinkStatus
from snn_sim.faults.scene import DroneLink
from support.flight_loop import modes
from support.states import TICK_NS, hovering, sample

TIMEOUT = 10  # ticks without odometry that count as silence
QUEUE = 5  # samples that wait for who is late


class Estimator:
    """Measures each period; now and then nothing comes through, and then all that waits at once."""

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self.answered: list[int] = []  # stamps
        self.rows: list[int] = []  # of the log, of the ticks that answer
        self.now = 0
        clocks = Clocks(now=lambda: self.now, steady=lambda: self.now)
        self.loop = ControlLoop(flight, DroneLink(LinkStatus), clocks)

    def run(self, periods: int, *, late: int = 0, held: bool = False) -> None:
        """Let periods pass; samples come some ns late, or are held back to the end."""
        waiting: list[int] = []
        for number in range(periods):
            self.now += TICK_NS
            waiting.append(self.now - late)
            if not held or number == periods - 1:
                self._tell(waiting[-QUEUE:])
                waiting.clear()
            else:
                self.loop.watch()

    def _tell(self, stamps: Sequence[int]) -> None:
        for stamp in stamps:
            if self.answered and stamp <= self.answered[-1]:
                self.loop.answer(sample(hovering(), stamp))
                assert self.loop.answered == self.answered[-1]
                continue
            self.answered.append(stamp)
            rounded = replace(hovering(), velocity=np.full(3, stamp * 1e-18))
            before = self.flight.log.count
            self.loop.answer(sample(rounded, stamp))
            if self.now - stamp <= TIMEOUT * TICK_NS:  # else it is stale, and as if none had come
                assert self.flight.log.ticks[-1].stamp == stamp
                self.rows.append(before)


@pytest.fixture
def make(policy: Policy, quadrotor: Quadrotor) -> Callable[[], Flight]:
    plan = FlightPlan(find_task("hover"), 60.0, descent_time=2.0)
    return lambda: Flight(policy, quadrotor, plan, Limits())


def check_clock(estimator: Estimator) -> None:
    """Time never goes back; stamps of what was answered are those of the odometry, each once."""
    ticks = estimator.flight.log.ticks
    assert (np.diff([tick.time for tick in ticks]) >= 0.0).all()
    stamps = [ticks[row].stamp for row in estimator.rows]
    assert (np.diff(stamps) > 0).all()
    silent = set(range(len(ticks))) - set(estimator.rows)
    assert all(ticks[row].decision is None for row in silent)


def test_odometry_that_was_held_back_does_not_turn_time_back(make: Any, tmp_path: Path) -> None:
    flight = make()
    estimator = Estimator(flight)
    estimator.run(50)
    estimator.run(30, held=True)
    estimator.run(20)
    assert modes(flight) == ["policy", "descent", "fallback"]
    check_clock(estimator)
    facts = FlightFacts("hover", FlightBounds(60.0), policy="hover.onnx")
    write_report(tmp_path, summarise(flight.log, facts), flight.log)
    assert (np.diff(read_record(tmp_path).flight.time) >= 0.0).all()


def test_a_recorded_silence_is_replayed_to_the_bit(make: Any, tmp_path: Path) -> None:
    pytest.importorskip("rosbags")
    from snn_controller.replay.replay import find_policy, replay, replays_exactly, summarise_replay
    from support.recorded_bags import write_bag

    flight = make()
    estimator = Estimator(flight)
    estimator.run(50)
    estimator.run(30, held=True)
    estimator.run(20)
    recorded = recorded_flight.read_flight(write_bag(tmp_path / "bag", [flight]))
    assert (np.diff(recorded.time) >= 0.0).all()
    assert (np.diff(recorded.stamp[estimator.rows]) > 0).all()
    summary = summarise_replay(replay(recorded, find_policy(recorded)))
    assert replays_exactly(summary) and summary["lost_ticks"] == 0
    assert summary["judged_ticks"] == summary["policy_ticks"] == 50


def test_ticks_in_silence_are_stamped_by_the_flights_clock(make: Any) -> None:
    flight = make()
    estimator = Estimator(flight)
    estimator.run(50)
    last = estimator.answered[-1]
    estimator.run(20, held=True)
    silent = flight.log.ticks[estimator.rows[49] + 1 : estimator.rows[50]]
    assert [tick.stamp - last for tick in silent] == [n * TICK_NS for n in range(11, 20)]
    assert {tick.mode for tick in silent} == {"descent"}


def test_time_goes_on_evenly_after_late_odometry(make: Any) -> None:
    flight = make()
    estimator = Estimator(flight)
    estimator.run(50)
    estimator.run(30, held=True)
    before = flight.log.count
    estimator.run(20)
    steps = np.diff([tick.time for tick in flight.log.ticks[before:]])
    assert steps == pytest.approx(np.full(len(steps), 0.01))


def test_an_operators_request_is_a_tick_of_the_same_instant(make: Any) -> None:
    flight = make()
    estimator = Estimator(flight)
    estimator.run(20)
    assert flight.request(Event.LAND, estimator.now) is None
    estimator.run(5)
    check_clock(estimator)
    first = next(tick for tick in flight.log.ticks if tick.mode == "land")
    assert first.stamp == estimator.answered[19] and first.decision is None


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.tuples(st.integers(1, 40), st.integers(0, 9), st.booleans()), min_size=1, max_size=8
    )
)
def test_whatever_is_late_or_silent_time_never_goes_back(
    make: Any, pieces: list[tuple[int, int, bool]]
) -> None:
    flight = make()
    estimator = Estimator(flight)
    estimator.run(10)
    for periods, late, held in pieces:
        estimator.run(periods, late=late * TICK_NS, held=held)
    check_clock(estimator)
