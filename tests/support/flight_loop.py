"""Flight, control loop and drone with a manual clock, for tests of whole flights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from snn_controller.control.trajectories import find_task
from snn_controller.flight.control_loop import Clocks, ControlLoop
from snn_controller.flight.flight import Flight
from snn_controller.flight.plan import FlightPlan
from snn_controller.policy.runtime import Policy
from snn_controller.safety.guard import Moment
from snn_controller.safety.guards import Limits
from snn_controller.safety.state_machine import Event, Mode
from snn_controller.vehicle.action import Command
from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.flight_controller import LinkStatus
from snn_controller.vehicle.state import Odometry, State
from snn_sim.bullet.drone import Drone
from snn_sim.faults.scene import DroneLink
from snn_sim.task.episode import sample_start
from support.states import TICK_NS, hovering, sample

Alter = Callable[[Odometry], Odometry | None]


class Loop:
    """A flight of one policy on the PyBullet drone."""

    def __init__(
        self,
        policy: Policy,
        quadrotor: Quadrotor,
        task: str,
        duration: float,
        seed: int = 1,
        limits: Limits | None = None,
        **plan: Any,
    ) -> None:
        self.plan = FlightPlan(task=find_task(task), duration=duration, **plan)
        self.flight = Flight(policy, quadrotor, self.plan, limits or Limits())
        self.drone = Drone(quadrotor)
        start = "ground" if self.plan.lands else "hover"
        rng = np.random.default_rng(seed)
        place = sample_start(start, rng, target=self.plan.hover_point, quadrotor=quadrotor)
        self.drone.reset(*place)
        self.now = TICK_NS
        self.commands: list[Command] = []
        self.status = LinkStatus()
        self._sample: Odometry | None = None
        self.link = DroneLink(self._look)
        clocks = Clocks(now=lambda: self.now, steady=lambda: self.now)
        self.loop = ControlLoop(self.flight, self.link, clocks)

    def _look(self) -> LinkStatus:
        told, self._sample = self._sample, None
        return replace(self.status, odometry=told)

    def run(
        self, seconds: float, alter: Alter = lambda odometry: odometry, *, force: Any = None
    ) -> None:
        """Fly until the flight is done or time is over; `alter` may spoil or drop odometry."""
        for _ in range(round(seconds * 100)):
            self._sample = alter(sample(self.drone.state, self.now))
            self.loop.watch()
            command = self.flight.command
            if command is not None:
                self.commands.append(command)
            stopped = command is None or command.stop
            self.drone.step(None if stopped else command.values, force=force)
            self.now += TICK_NS
            if self.flight.done:
                return

    def ask(self, event: Event) -> str | None:
        """Ask for what an operator may ask for."""
        return self.loop.ask(event)

    def hear(self, **status: Any) -> None:
        """Let the link say something from now on."""
        self.status = LinkStatus(**status)

    def has_landed(self) -> bool:
        """Whether the drone rests upright on the ground once the motors have been off a while."""
        for _ in range(50):
            assert self.flight.command is not None
            assert self.flight.command.stop
            self.drone.step(None)
        return self.drone.touching_ground and bool(self.drone.state.rotation[2, 2] > 0.99)

    @property
    def limit(self) -> str | None:
        """The limit that the flight's verdict names."""
        return self.flight.verdict.limit if self.flight.verdict else None


def moment_of(odometry: Odometry, *, thrust: float | None = None, airborne: bool = False) -> Moment:
    """Return the moment at which a sample comes at once, in flight."""
    now = odometry.stamp
    return Moment(Mode.POLICY, now, odometry, airborne=airborne, thrust=thrust)


def poison(odometry: Odometry) -> Odometry:
    state = replace(odometry.state, velocity=np.full(3, np.nan))
    return replace(odometry, state=state)


def modes(flight: Flight) -> list[str]:
    """Return the states of a flight in order."""
    seen: list[str] = []
    for tick in flight.log.ticks:
        if not seen or seen[-1] != tick.mode:
            seen.append(tick.mode)
    return seen


def fly_at(flight: Flight, state: State, seconds: float, start: float = 0.0) -> None:
    """Tick a flight with one and the same state but for rounding, whatever it commands."""
    for number in range(round(start * 100) + 1, round((start + seconds) * 100) + 1):
        rounded = replace(state, velocity=state.velocity + (number % 2) * 1e-9)
        flight.tick(sample(rounded, number * TICK_NS), number * TICK_NS)


def fly_hovering(flight: Flight, seconds: float) -> None:
    """Tick a flight that hovers in place."""
    fly_at(flight, hovering(), seconds)
