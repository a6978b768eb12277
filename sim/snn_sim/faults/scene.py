"""One flight with one fault, in lockstep in this process, by the loop that flies on a vehicle.

The link `sim` is a PyBullet drone here, which tells its odometry at each poll; every clock is
manual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snn_controller.control import find_task
from snn_controller.flight import Clocks, ControlLoop, Flight, FlightPlan
from snn_controller.policy import Policy
from snn_controller.safety import MOTORLESS_MODES, Event, Limits, Mode
from snn_controller.vehicle import (
    ACTION_KINDS,
    ActionKind,
    Array,
    Command,
    LinkStatus,
    Odometry,
    Quadrotor,
)
from snn_sim.bullet import Drone
from snn_sim.task import sample_start

ANY = "any"  # verdict of a fault that may break several limits
TICK_NS = 10_000_000
START_NS = 1_000_000_000
EARLIEST, LATEST = 50, 150  # tick at which a fault begins in a flight that starts in the air


@dataclass(frozen=True)
class Demand:
    """The states that must follow a fault."""

    reaction: Mode  # first one
    end: Mode  # last one
    other_end: Mode | None = None  # another last one that is as good
    other_reaction: Mode | None = None  # another first one that is as good
    invalid: bool = False  # samples cannot be flown on from the fault's first one on
    vehicle: str = ""  # what the vehicle must do at last, behind a link that has one
    own_within: float | None = None  # s in which it must fly by itself, or have stopped


FLOWN = Demand(Mode.POLICY, Mode.POLICY)  # as if nothing had been
REFUSED = Demand(Mode.DISARMED, Mode.DISARMED)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and what must follow.

    `apply` is called before every tick from the fault's first one on, and changes the scene: a
    `Scene`, or a `LinkScene` behind a link to a vehicle.
    """

    name: str
    apply: Callable[[Any], None]
    verdict: str | None  # limit that must be named, None where the flight must go on
    demand: Demand
    window: float = 0.0  # s that the guard waits by its parameters
    exceeded: Callable[[Any], bool] | None = None  # when the limit is broken; None: at once
    from_start: bool = False  # begins with the first sample
    task: str = "hover"
    plan: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    requests: Mapping[int, Event] = field(default_factory=dict)  # tick -> what the operator asks
    behind: Mapping[str, Any] = field(default_factory=dict)  # how the vehicle is set up
    then: str | None = None  # second limit, which must be named at last; None: whatever
    words: str = ""  # of the vehicle, that the verdict's reason must pass on
    seconds: float = 12.0  # most that the flight may take


@dataclass(frozen=True)
class Outcome:
    """How one flight with a fault went."""

    fault: str
    verdict: str | None  # first that was given after the fault
    last_verdict: str | None
    reaction: Mode  # first state that followed, the state before where none did
    end: Mode
    ticks: int | None  # from the broken limit to the reaction, less the guard's window
    deviation: float  # m, furthest horizontal distance from the place of the fault, motors on
    uncommanded: int  # ticks of motion that nobody was entitled to command
    right: bool  # verdict, reaction and end are what the fault demands
    vehicle: str = ""  # what the vehicle did at last, behind a link that has one
    own_after: float | None = None  # s from the fault until it flew by itself, or had stopped


class FaultyPolicy(Policy):
    """A policy whose actions and neurons can be tampered with."""

    def __init__(self, policy: Policy) -> None:
        """Use the network of a policy that was loaded and checked."""
        super().__init__(policy._session, policy.metadata, policy.path, policy.sha256)
        self.override: Callable[[], Any] | None = None  # gives actions instead of the network's

    def step(self, observation: Any, **options: Any) -> Any:
        """Advance the network and return its action, or the one that overrides it."""
        action = super().step(observation, **options)
        if self.override is None:
            return action
        return np.asarray(self.override(), dtype=np.float32)

    def poison(self, state: str, value: float, neurons: int | None) -> None:
        """Set the first few neurons of a state, or all."""
        self._states[self._current][state][:, :neurons] = value


class DroneLink:
    """The simulated drone as a flight controller: it has no objections, and keeps what it is told.

    Armed at first, as the link `sim` is: a simulated flight may begin in the air.
    """

    name = "drone"
    action_kinds: frozenset[ActionKind] = frozenset(ACTION_KINDS)
    has_pilot = False
    description = "a drone in this process"

    def __init__(self, look: Callable[[], LinkStatus]) -> None:
        """Tell what `look` returns, which is asked at each poll."""
        self.command: Command | None = None  # None: nothing, or its pilot's
        self._look = look
        self._armed = True

    def poll(self, now: int) -> LinkStatus:
        """Return what is to be seen, disarmed where that was asked for."""
        status = self._look()
        return replace(status, armed=status.armed and self._armed)

    def arm(self) -> None:
        """Arm at once."""
        self._armed = True

    def disarm(self) -> None:
        """Disarm at once."""
        self._armed = False

    kill = disarm

    def hand_back(self) -> None:
        """Leave the motors to a pilot, who stops them."""
        self.command = None

    def send(self, command: Command, stamp: int) -> None:
        """Keep a command."""
        self.command = command

    def close(self) -> None:
        """Do nothing: the world ends with the flight."""

    release = close


class Scene:
    """What a fault may change; fields are set anew for every tick."""

    def __init__(
        self, fault: Fault, policy: FaultyPolicy, quadrotor: Quadrotor, drone: Drone, seed: int
    ) -> None:
        """Put the drone at a seeded start of the fault's task."""
        self.rng = np.random.default_rng(seed)
        self.policy, self.drone, self.fault = policy, drone, fault
        plan = FlightPlan(find_task(fault.task), 5.0, **fault.plan)
        self.flight = Flight(policy, quadrotor, plan, Limits(**fault.limits))
        self.number = 0  # of the tick
        self.now = START_NS
        self.link = DroneLink(self._look)
        clocks = Clocks(now=lambda: self.now, steady=lambda: self.number * TICK_NS)
        self.loop = ControlLoop(self.flight, self.link, clocks)
        drone.become(quadrotor)
        start = "ground" if plan.lands else "hover"
        drone.reset(*sample_start(start, self.rng, target=plan.hover_point, quadrotor=quadrotor))
        self.begin = 0 if fault.from_start else int(self.rng.integers(EARLIEST, LATEST))
        self.memory: dict[str, Any] = {}  # what a fault keeps between ticks
        self.prepare()

    def prepare(self) -> None:
        """Set what a healthy tick looks like."""
        stamp = START_NS + self.number * TICK_NS
        self.now = stamp
        self.sample: Odometry | None = Odometry(stamp, "odom", "base_link", self.drone.state)
        self._told = False
        self.status = LinkStatus()
        self.force: Array | None = None  # N, world
        self.torque: Array | None = None  # N m, body

    def _look(self) -> LinkStatus:
        """Return what the drone says in this tick, its odometry once."""
        told, self._told = self._told, True
        return replace(self.status, odometry=None if told else self.sample)

    @property
    def seen(self) -> bool:
        """Whether odometry has come in this tick."""
        return self.sample is not None

    @property
    def since(self) -> int:
        """Ticks since the fault began, negative before."""
        return self.number - self.begin


class Referee:
    """Watches a flight from outside: what was commanded, when it reacted, how far it went."""

    def __init__(self, scene: Scene) -> None:
        """Begin before the first tick."""
        self._scene = scene
        self._before: tuple[Mode, Command | None] = (scene.flight.mode, scene.flight.command)
        self._valid_ticks = 0
        self._place: Array | None = None
        self._broken: int | None = None  # tick at which the limit was broken
        self._reaction: tuple[int, Mode, str | None] | None = None
        self.uncommanded = 0
        self.deviation = 0.0

    def look(self, command: Command | None) -> None:
        """Judge the tick that gave a command."""
        scene, flight = self._scene, self._scene.flight
        invalid = not scene.seen or (scene.fault.demand.invalid and scene.since >= 0)
        self._valid_ticks += not invalid
        self.uncommanded += self._is_uncommanded(command, invalid)
        if scene.since >= 0:
            self._measure(command)
            before, verdict = self._before[0], flight.verdict
            if self._reaction is None and (verdict is not None or _changed(before, flight.mode)):
                limit = verdict.limit if verdict else None
                self._reaction = scene.number, flight.mode, limit
        self._before = flight.mode, command

    def _is_uncommanded(self, command: Command | None, invalid: bool) -> bool:
        """Whether a command moves motors that nobody was entitled to move."""
        mode, in_force = self._scene.flight.mode, self._before[1]
        if command is None or command.stop:
            return False
        if mode in MOTORLESS_MODES or mode is Mode.PILOT or not self._valid_ticks:
            return True
        if not np.isfinite(command.values).all():
            return True
        # the policy must not answer a sample that it cannot have seen
        return invalid and mode is Mode.POLICY and command is not in_force

    def _measure(self, command: Command | None) -> None:
        scene = self._scene
        position = scene.drone.state.position
        if self._place is None:
            self._place = position
        if command is not None and not command.stop:
            distance = float(np.linalg.norm((position - self._place)[:2]))
            self.deviation = max(self.deviation, distance)
        exceeded = scene.fault.exceeded
        if self._broken is None and (exceeded is None or exceeded(scene)):
            self._broken = scene.number

    def outcome(self) -> Outcome:
        """Return how the flight went."""
        fault, mode = self._scene.fault, self._scene.flight.mode
        number, reaction, verdict = self._reaction or (0, mode, None)
        ticks = None
        if self._reaction is not None and self._broken is not None:
            ticks = max(0, number - self._broken - round(fault.window * 1e9 / TICK_NS))
        demand = fault.demand
        right = reaction in (demand.reaction, demand.other_reaction)
        right &= mode in (demand.end, demand.other_end)
        right &= fault.verdict in (verdict, ANY)
        last = self._scene.flight.verdict
        right &= fault.then in (None, last.limit if last else None)
        return Outcome(
            fault=fault.name,
            verdict=verdict,
            last_verdict=last.limit if last else None,
            reaction=reaction,
            end=mode,
            ticks=ticks,
            deviation=self.deviation,
            uncommanded=self.uncommanded,
            right=right,
        )


def _changed(before: Mode, mode: Mode) -> bool:
    """Whether a state is a reaction, and not the way of a flight that goes on."""
    normal = (Mode.CHECKS, Mode.ARMING, Mode.ARMED, Mode.TAKEOFF, Mode.POLICY)
    return mode is not before and mode not in normal


def fly_fault(
    fault: Fault, policy: FaultyPolicy, quadrotor: Quadrotor, drone: Drone, seed: int
) -> Outcome:
    """Fly one flight with one fault; the same seed gives the same flight."""
    policy.override = None
    scene = Scene(fault, policy, quadrotor, drone, seed)
    referee = Referee(scene)
    for scene.number in range(round(fault.seconds * 1e9 / TICK_NS)):
        scene.prepare()
        if scene.number in fault.requests:
            scene.loop.ask(fault.requests[scene.number])
        if scene.since >= 0:
            fault.apply(scene)
        scene.loop.watch()
        command = scene.link.command
        referee.look(command)
        throttle = None if command is None or command.stop else command.values
        drone.step(throttle, force=scene.force, torque=scene.torque)
        if scene.loop.is_over:
            break
    return referee.outcome()
