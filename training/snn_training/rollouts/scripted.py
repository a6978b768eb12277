"""Flights that begin and go as they are told, in either simulator: the fixed test, demonstrations.

Every drone flies once, from a given start along given references, until it crashes or its time is
up; nothing begins anew.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from snn_controller.control import GuideGains
from snn_controller.errors import UserError
from snn_controller.vehicle import (
    ACTION_SIZE,
    OBSERVATION_SIZE,
    POSITION_ERROR_LIMIT,
    Array,
    Quadrotor,
    Reference,
    State,
    observe,
    throttle_from_action,
)
from snn_sim.batched import DroneBatch
from snn_sim.bullet import DisturbedDrone, Drone
from snn_sim.task import (
    HISTORY_STEPS,
    Disturbance,
    EpisodeConfig,
    draw_references,
    has_crashed,
    measure,
    sample_start,
)
from snn_training.data import Demonstrations, Flags, Numbers, Rows
from snn_training.rollouts.actors import Actor, Memoryless, Senses, Teacher, row_of

Observe = Callable[[State, Reference], Rows]
LOST_DISTANCE = 2.0  # m from the reference on an axis; beyond, a flight teaches nothing more


class Worlds(Protocol):
    """Drones side by side in one kind of simulator."""

    quadrotor: Quadrotor  # nominal
    flying: Flags  # (count,) not crashed yet

    @property
    def state(self) -> State:
        """True states, batch (count,)."""
        ...

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1]."""
        ...

    def step(self, throttles: Array, reference: Reference) -> None:
        """Fly one control period with throttles (count, 4); it ends at a reference."""
        ...


class BatchedWorlds:
    """Drones of the batched twin."""

    def __init__(
        self,
        quadrotor: Quadrotor,
        state: State,
        rotors: Array,
        disturbances: Sequence[Disturbance],
        *,
        crash_distance: float,
    ) -> None:
        """Put drones into states (count,) with rotors (count, 4); no disturbances is nominal."""
        self.quadrotor, self._reference = quadrotor, None
        self._drones = DroneBatch(
            quadrotor, len(rotors), starts=("easy",), crash_distance=crash_distance
        )
        self._drones.set_states(state, rotors)
        if disturbances:
            self._drones.set_disturbances(disturbances)
        self.flying = np.ones(len(rotors), np.bool_)

    @property
    def state(self) -> State:
        """True states, batch (count,)."""
        return self._drones.state

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1]."""
        return self._drones.rotors

    def step(self, throttles: Array, reference: Reference) -> None:
        """Fly one control period; throttles that are not finite are a crash."""
        if reference is not self._reference:
            self._drones.set_references(reference, observe=False)
            self._reference = reference
        self._drones.step(2.0 * throttles - 1.0, auto_reset=False)
        self.flying = self.flying & ~self._drones.terminated


class BulletWorlds:
    """Drones in PyBullet, each in its own world; those that have crashed stay where they are."""

    def __init__(self, drones: Sequence[Drone], *, crash_distance: float) -> None:
        """Take worlds of one airframe; `begin` begins a flight in each."""
        self.quadrotor = drones[0].quadrotor
        self._drones = [DisturbedDrone(drone) for drone in drones]
        self._crash_distance = crash_distance
        self.flying = np.ones(len(drones), np.bool_)

    def begin(
        self, states: Sequence[State], rotors: Sequence[Array], disturbances: Sequence[Disturbance]
    ) -> None:
        """Put every drone into a state with rotors (4,); no disturbances is nominal."""
        self.flying = np.ones(len(states), np.bool_)
        for number, drone in enumerate(self._drones):
            drone.disturb(disturbances[number] if disturbances else None)
            drone.reset(states[number], rotors[number])

    @property
    def state(self) -> State:
        """True states, batch (count,)."""
        states = [drone.world.state for drone in self._drones]
        stacked = stack_states(states)
        if len(states) == 1:  # fill the cache as of one drone, several times as fast
            vars(stacked)["rotation"] = states[0].rotation[None]
        return stacked

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1]."""
        return np.array([drone.world.rotors for drone in self._drones])

    def step(self, throttles: Array, reference: Reference) -> None:
        """Fly one control period; throttles that are not finite are a crash."""
        flying = self.flying.tolist()
        for number, throttle in enumerate(throttles):
            if flying[number]:
                usable = math.isfinite(throttle.sum())  # as it is if and only if its terms are
                state = self._drones[number].step(throttle if usable else None)
                there = row_of(reference, number)
                lost = has_crashed(state, there, distance=self._crash_distance)
                flying[number] = usable and not lost
        self.flying = np.array(flying)


class Sensed:
    """What an actor may look at in one tick of scripted flights."""

    def __init__(
        self,
        worlds: Worlds,
        state: State,
        reference: Reference,
        step: int,
        applied: Sequence[NDArray[np.floating]],
        observe: Observe,
    ) -> None:
        """Take the states as measured, the reference, and the actions applied, oldest first."""
        self.quadrotor, self.rotors = worlds.quadrotor, worlds.rotors
        self.state, self.reference = state, reference
        self._step, self._applied, self._observe = step, applied, observe
        self._observations: Rows | None = None  # made when they are asked for

    @property
    def observations(self) -> Rows:
        """Observations (count, 18) of the states as measured."""
        if self._observations is None:
            self._observations = self._observe(self.state, self.reference)
        return self._observations

    @property
    def steps(self) -> Numbers:
        """Ticks (count,) flown."""
        return np.full(len(self.rotors), self._step)

    @property
    def histories(self) -> Rows:
        """Last actions flown (count, 128), oldest first; zeros before the first."""
        histories = np.zeros((len(self.rotors), HISTORY_STEPS, ACTION_SIZE), np.float32)
        for back, actions in enumerate(reversed(self._applied)):
            histories[:, -1 - back] = actions
        return histories.reshape(len(histories), -1)


class Moment(NamedTuple):
    """One tick of scripted flights."""

    senses: Sensed
    actions: NDArray[np.floating]  # (count, 4) in [-1, 1]
    throttles: Array  # (count, 4) in [0, 1], commanded
    flying: Flags  # (count,) before the tick
    reached: State  # true states, batch (count,), after it


def motor_throttles(senses: Senses, actions: NDArray[np.floating]) -> Array:
    """Return the throttles (count, 4) of motor actions."""
    return throttle_from_action(actions)


def fly_script(
    worlds: Worlds,
    actor: Actor,
    course: Callable[[int], Reference],
    *,
    steps: int,
    noise: Array | None = None,
    throttles_of: Callable[[Senses, NDArray[np.floating]], Array] = motor_throttles,
    observe: Observe = observe,
) -> Iterator[Moment]:
    """Fly drones that stand at their starts; yield every tick, also when all have crashed.

    Args:
        worlds: The drones.
        actor: Who flies; reset at first.
        course: Step -> what to fly, of every drone or one for all.
        steps: Ticks to fly.
        noise: On what is measured (steps, count, 18).
        throttles_of: What throttles (count, 4) actions (count, 4) stand for.
        observe: What is observed (count, size) of states against references, by the version that
            the actor was trained on.
    """
    actor.reset()
    reference, state = course(0), worlds.state
    applied: deque[NDArray[np.floating]] = deque(maxlen=HISTORY_STEPS)
    for step in range(steps):
        flying = worlds.flying
        seen = state if noise is None else measure(state, noise[step])
        senses = Sensed(worlds, seen, reference, step, applied, observe)
        actions = actor.act(senses)
        throttles = throttles_of(senses, actions)
        reference = course(step + 1)
        worlds.step(throttles, reference)
        state = worlds.state
        actor.set_applied_action(actions)
        applied.append(actions)
        yield Moment(senses, actions, throttles, flying, state)


class _Demonstrator(Memoryless):
    """Teacher or student fly, disturbed, and the teacher says what it would do."""

    def __init__(
        self,
        teacher: Actor,
        student: Actor | None,
        count: int,
        noise: float,
        rng: np.random.Generator,
    ) -> None:
        self.teacher, self.student, self.noise, self.rng = teacher, student, noise, rng
        self.labels: NDArray[np.floating] = np.zeros((count, ACTION_SIZE), np.float32)
        self.wander = rng.normal(0.0, noise, (count, ACTION_SIZE))

    def act(self, senses: Senses) -> Array:
        self.labels = self.teacher.act(senses)
        flown = self.labels if self.student is None else self.student.act(senses)
        fresh = self.rng.normal(0.0, self.noise * 0.19**0.5, self.wander.shape)
        self.wander = 0.9 * self.wander + fresh
        return flown + self.wander


def demonstrate(
    drones: Sequence[Drone],
    student: Actor | None,
    *,
    config: EpisodeConfig,
    gains: GuideGains,
    noise: float,
    rng: np.random.Generator,
) -> Demonstrations:
    """Fly one episode on every drone; return what was seen and what the teacher would have done.

    Args:
        drones: PyBullet worlds to fly in, all of one airframe.
        student: Who flies, reset and ready; None lets the teacher fly.
        config: Episodes; every one has its own start and its own moving reference.
        gains: Gains of the teacher.
        noise: Standard deviation of the disturbance that is added to the actions. It wanders over
            about 0.1 s, so that it moves the drone; the labels stay clean.
        rng: Source of randomness.

    Raises:
        UserError: The student's actions are not finite.
    """
    count, ticks, period = len(drones), config.ticks, drones[0].control_period
    references = draw_references(count, config, period, rng)
    worlds = BulletWorlds(drones, crash_distance=LOST_DISTANCE)
    worlds.begin(*_draw_starts(worlds.quadrotor, references.at(0.0), config, rng), ())
    actor = _Demonstrator(Teacher(gains), student, count, noise, rng)
    flown = Demonstrations(
        observations=np.zeros((count, ticks, OBSERVATION_SIZE), np.float32),
        labels=np.zeros((count, ticks, ACTION_SIZE), np.float32),
        errors=np.zeros((count, ticks), np.float32),
        lengths=np.zeros(count, np.int64),
    )
    script = fly_script(worlds, actor, lambda step: references.at(step * period), steps=ticks)
    for tick, (senses, actions, _, flying, _) in enumerate(script):
        if not np.isfinite(actions[flying]).all():
            raise UserError("the student's actions are not finite; train with smaller steps")
        error = senses.state.position - senses.reference.position
        flown.errors[:, tick] = np.linalg.norm(error, axis=-1)
        flown.observations[:, tick] = senses.observations
        flown.labels[:, tick] = actor.labels
        flown.lengths[flying] += 1
    return flown


def flight_score(flown: Demonstrations) -> float:
    """Return how near the drones flew to their references: 1 on them, 0 beyond 0.6 m or lost."""
    ticks = np.arange(flown.errors.shape[1])
    alive = ticks < flown.lengths[:, None]
    nearness = np.clip(1.0 - flown.errors / POSITION_ERROR_LIMIT, 0.0, 1.0)
    return float((nearness * alive).mean())


def stack_states(states: Sequence[State]) -> State:
    """Return the states of single drones as one batch."""
    return State(  # np.stack takes several times as long for a few
        np.array([x.position for x in states]),
        np.array([x.quaternion for x in states]),
        np.array([x.velocity for x in states]),
        np.array([x.body_rates for x in states]),
    )


def _draw_starts(
    quadrotor: Quadrotor, reference: Reference, config: EpisodeConfig, rng: np.random.Generator
) -> tuple[list[State], list[Array]]:
    """Return starts around references (count,), moving along with them."""
    states, everyones = [], []
    for position, velocity in zip(reference.position, reference.velocity, strict=True):
        name = config.starts[rng.integers(len(config.starts))]
        start, rotors = sample_start(name, rng, target=position, quadrotor=quadrotor)
        states.append(
            State(start.position, start.quaternion, start.velocity + velocity, start.body_rates)
        )
        everyones.append(rotors)
    return states, everyones
