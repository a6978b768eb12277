"""One flight with one fault behind a link, in lockstep: flight, link, vehicle, one manual clock.

The vehicle may fly by itself, so what it does is judged by its rotors and by its firmware's state.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from snn_controller.control import find_task
from snn_controller.flight import DISARM_TIME, Clocks, ControlLoop, Flight, FlightPlan
from snn_controller.safety import FINAL_MODES, MOTORLESS_MODES, Event, Limits, Mode
from snn_controller.vehicle import Command, FlightController, Quadrotor, State
from snn_sim.faults.scene import TICK_NS, Fault, FaultyPolicy, Outcome, Referee

TICK = TICK_NS * 1e-9  # s
HOVER_POINT = np.array([0.0, 0.0, 0.6])  # m
DURATION = 2.0  # s that the policy flies
REST_TICKS = 80  # before the operator arms
EARLIEST, LATEST = 20, 120  # ticks of the policy before the fault
REACH = 3  # ticks that a command may take to the rotors
LOW = 0.1  # m at which motors that stop end a landing
ALONE = 3.0  # s that the vehicle is watched once nobody commands it any more

# what a vehicle may do
OBEYS, HOLDS, LANDS = "obeys", "holds by itself", "lands by itself"
DOWN, FALLS, FLIES = "down, motors off", "falls", "flies by itself"
LEVELS = "levels by itself"


class LinkedVehicle(Protocol):
    """A vehicle behind a link, which advances only when it is told to."""

    link: FlightController

    @property
    def now(self) -> int:
        """Time in ns on the controller's clock."""
        ...

    @property
    def state(self) -> State:
        """Where it really is."""
        ...

    @property
    def driven(self) -> bool:
        """Whether its motors turn."""
        ...

    @property
    def doing(self) -> str:
        """What it does, one of the words above."""
        ...

    def advance(self, seconds: float) -> None:
        """Let it live for some time."""
        ...

    def close(self) -> None:
        """Close its world."""
        ...


class LinkScene:
    """What a fault may change."""

    def __init__(
        self,
        fault: Fault,
        policy: FaultyPolicy,
        quadrotor: Quadrotor,
        vehicle: Any,
        seed: int,
    ) -> None:
        """Put a flight before a vehicle on the ground; `vehicle` is a `LinkedVehicle`."""
        self.rng = np.random.default_rng(seed)
        self.policy, self.fault, self.vehicle = policy, fault, vehicle
        link = vehicle.link
        planned = {"duration": DURATION, "hover_point": HOVER_POINT, "has_pilot": link.has_pilot}
        plan = FlightPlan(find_task("hover"), auto_start=False, **planned | dict(fault.plan))
        self.flight = Flight(policy, quadrotor, plan, Limits(**fault.limits))
        clocks = Clocks(now=self._now, steady=self._now)
        self.loop = ControlLoop(self.flight, link, clocks)
        self.alive = True  # the controller runs
        self.number = 0  # of the tick
        self.begin: int | None = 0 if fault.from_start else None
        self.delay = int(self.rng.integers(EARLIEST, LATEST))
        self.memory: dict[str, Any] = {}  # what a fault keeps between ticks
        self.seen = False  # odometry has been answered in this tick
        self._armed = self._took_off = False

    def _now(self) -> int:
        return self.vehicle.now

    @property
    def since(self) -> int:
        """Ticks since the fault began, negative before."""
        return -1 if self.begin is None else self.number - self.begin

    @property
    def drone(self) -> Any:
        """What has the true state."""
        return self.vehicle

    @property
    def over(self) -> bool:
        """Whether the flight has come to its end."""
        mode = self.flight.mode
        return mode in FINAL_MODES or (self._armed and mode is Mode.DISARMED)

    def step(self) -> Command | None:
        """Advance one tick, and return the command in force."""
        if self.begin is None and self.flight.mode is Mode.POLICY:
            self.begin = self.number + self.delay
        if self.since >= 0:
            self.fault.apply(self)
        self.vehicle.advance(TICK)
        before = self.loop.answered
        if self.alive:
            self.loop.watch()
        self.seen = self.loop.answered != before
        if self.alive:
            self._operate()
        return self.flight.command

    def _operate(self) -> None:
        """Arm, and take off, as an operator does."""
        if not self._armed and self.number >= REST_TICKS:
            self._armed = self.loop.ask(Event.ARM) is None
        elif not self._took_off and self.flight.mode is Mode.ARMED:
            self._took_off = self.loop.ask(Event.TAKE_OFF) is None


class LinkReferee(Referee):
    """Watches the rotors too."""

    def __init__(self, scene: LinkScene) -> None:
        """Begin before the first tick."""
        super().__init__(scene)  # type: ignore[arg-type]
        self._entitled = 0  # tick in which somebody was last entitled to turn the motors
        self._link_scene = scene
        self.own_after: float | None = None
        self._driven = False
        self._stopped_at = 0.0  # m, height at which the motors stopped last

    def look(self, command: Command | None) -> None:
        """Judge the tick that gave a command, and what the rotors do."""
        super().look(command)
        scene, vehicle = self._link_scene, self._link_scene.vehicle
        mode, doing = scene.flight.mode, vehicle.doing
        # after a hand-over the firmware keeps its last setpoint until its own time is up
        if mode not in MOTORLESS_MODES or doing != OBEYS:
            self._entitled = scene.number
        self.uncommanded += vehicle.driven and scene.number - self._entitled > REACH
        if self._driven and not vehicle.driven:
            self._stopped_at = float(vehicle.state.position[2])
        self._driven = vehicle.driven
        if self.own_after is None and scene.since >= 0 and doing != OBEYS:
            self.own_after = scene.since * TICK

    def judge(self) -> Outcome:
        """Return how the flight went, and what the vehicle does now that it is over."""
        scene, demand = self._link_scene, self._link_scene.fault.demand
        outcome, doing = self.outcome(), scene.vehicle.doing
        verdict = scene.flight.verdict
        right = outcome.right and doing == demand.vehicle
        right &= outcome.end is not Mode.DISARMED or self._stopped_at < LOW  # not dropped
        right &= scene.fault.words in (verdict.reason if verdict else "")
        own_after = None if demand.own_within is None else self.own_after
        if demand.own_within is not None:
            right &= own_after is not None and own_after <= demand.own_within
        return replace(outcome, right=right, vehicle=doing, own_after=own_after)


def fly_link_fault(
    fault: Fault, policy: FaultyPolicy, quadrotor: Quadrotor, vehicle: LinkedVehicle, seed: int
) -> Outcome:
    """Fly one flight with one fault; the same seed gives the same flight."""
    policy.override = None
    scene = LinkScene(fault, policy, quadrotor, vehicle, seed)
    referee, over = LinkReferee(scene), 0
    for scene.number in range(round(fault.seconds / TICK)):
        referee.look(scene.step())
        over += scene.over
        waits = scene.flight.mode is not Mode.PILOT and scene.flight.status.armed
        if over and (not waits or over > DISARM_TIME / TICK):
            break
    if scene.alive:
        scene.loop.close()
        vehicle.link.release()
    scene.alive = False
    for alone in range(round(ALONE / TICK)):
        if vehicle.doing == DOWN and alone > REACH:
            break
        scene.number += 1
        referee.look(scene.step())
    return referee.judge()
