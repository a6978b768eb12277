"""Some PyBullet drones behind the interface of `snn_sim.batched`: slower, independent.

The starts, disturbances, rewards and limits are the same; the random numbers are others. Each drone
has a world of its own without ground. SI units, ENU, FLU.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import (
    ACTION_SIZE,
    OBSERVATION_SIZE,
    Array,
    Quadrotor,
    Reference,
    State,
    action_from_throttle,
    observe,
    throttle_from_action,
)
from snn_sim.bullet.drone import PHYSICS_RATE, DisturbedDrone, Drone
from snn_sim.task import (
    CONTROL_RATE,
    CRASH_DISTANCE,
    EPISODE_STEPS,
    NOMINAL,
    REWARD_PARTS,
    START_COEFFICIENTS,
    ActionHistory,
    Disturbance,
    Disturbances,
    RewardCoefficients,
    check_actions,
    check_batch,
    disturbance_from_row,
    draw_disturbance,
    measure,
    numbers_of,
    reward_parts,
    sample_start,
    start_ranges,
)

# 18 numbers of the world, 12 commands, 3 counts, and the disturbance: 22 and the bias.
_SNAPSHOT_SIZE = 55 + OBSERVATION_SIZE
LARGEST_BATCH = 64  # worlds; each takes about 32 MB
_REPORTED = (
    "observations",
    "final_observations",
    "rewards",
    "reward_parts",
    "terminated",
    "truncated",
    "throttles",
)


@dataclass(frozen=True)
class EpisodeDraw:
    """What the episodes of a batch are drawn from."""

    starts: tuple[str, ...]  # with equal chance
    disturbances: Disturbances
    steps: int  # cap of an episode


class BulletEpisode:
    """A PyBullet drone that flies episode after episode."""

    def __init__(self, world: Drone) -> None:
        """Take a world; `begin` begins the first episode."""
        self._world, self._drone = world, DisturbedDrone(world)
        self.rng = np.random.default_rng(0)
        self.number = -1  # of the present episode

    @property
    def state(self) -> State:
        """True state."""
        return self._world.state

    @property
    def rotors(self) -> Array:
        """Rotor state (4,) in [0, 1]."""
        return self._world.rotors

    @property
    def loads(self) -> Array:
        """Constant force and torque (6,) that disturb the episode."""
        found = self._drone.disturbance
        return np.zeros(6) if found is None else np.concatenate([found.force, found.torque])

    @property
    def steps(self) -> int:
        """Steps flown in the present episode."""
        return self._drone.steps

    def begin(self, draw: EpisodeDraw, key: tuple[int, int], reference: Reference) -> None:
        """Begin the next episode, which seed and number of the drone (the key) alone fix."""
        self.number += 1
        seed, drone = key
        self.rng = np.random.default_rng(
            np.random.SeedSequence(seed, spawn_key=(drone, self.number))
        )
        rng, nominal, name = self.rng, self._drone.nominal, draw.starts[0]
        if len(draw.starts) > 1:
            name = draw.starts[self.rng.integers(len(draw.starts))]
        start, rotors = sample_start(name, rng, target=reference.position, quadrotor=nominal)
        velocity = start.velocity + reference.velocity
        disturbance, sizes = None, draw.disturbances
        if not sizes.only_noise:
            period = self._world.control_period
            disturbance = draw_disturbance(
                sizes, rng, quadrotor=nominal, period=period, steps=draw.steps
            )
        self.disturb(disturbance)
        self.put(State(start.position, start.quaternion, velocity, start.body_rates), rotors)

    def disturb(self, disturbance: Disturbance | None) -> None:
        """Fly on under another disturbance; None is the nominal drone."""
        self._drone.disturb(disturbance)

    def put(self, state: State, rotors: Array) -> None:
        """Put the drone into a state with rotors (4,), at step 0."""
        self._drone.reset(state, rotors)

    def step(self, throttle: Array | None) -> None:
        """Advance one control period with throttle (4,); None stops the motors."""
        self._drone.step(throttle)

    def sensor_error(self, noise: Array) -> Array:
        """Return what an observation (18,) is off by: the bias and new noise of a deviation."""
        disturbance = self._drone.disturbance
        error = np.zeros(OBSERVATION_SIZE) if disturbance is None else disturbance.bias
        return error + noise * self.rng.normal(size=OBSERVATION_SIZE) if noise.any() else error

    def drops_out(self) -> bool:
        """Draw whether an observation repeats the last one."""
        disturbance = self._drone.disturbance
        if disturbance is None or disturbance.dropout == 0.0:
            return False
        return bool(self.rng.random() < disturbance.dropout)

    def snapshot(self) -> Array:
        """Return all but the generator as numbers (73,)."""
        drone, disturbance = self._drone, self._drone.disturbance
        rest = np.zeros(0) if disturbance is None else disturbance.as_row()
        counts = (drone.steps, self.number, len(rest))
        row = np.concatenate([self._world.snapshot(), *drone.commands, counts, rest])
        return np.concatenate([row, np.zeros(_SNAPSHOT_SIZE - len(row))])

    def restore(self, row: Array) -> None:
        """Fly on from a snapshot (73,)."""
        world, commands, (steps, number, length), rest = np.split(np.asarray(row), [18, 30, 33])
        self.number = int(number)
        nominal = self._drone.nominal
        self.disturb(disturbance_from_row(rest, nominal) if length else None)
        self._world.restore(world)
        self._drone.steps, self._drone.commands = int(steps), list(commands.reshape(3, 4))

    def close(self) -> None:
        """Close the world."""
        self._world.close()


class BulletBatch:
    """Some PyBullet drones side by side, with episodes, rewards and observations.

    `close` frees the worlds. Each array that a property returns is the batch's own: it changes with
    the next step, so copy what is to be kept.
    """

    def __init__(
        self,
        quadrotor: Quadrotor,
        count: int,
        *,
        starts: Sequence[str] = ("standard",),
        disturbances: Disturbances = NOMINAL,
        coefficients: RewardCoefficients = START_COEFFICIENTS,
        control_rate: float = CONTROL_RATE,
        crash_distance: float = CRASH_DISTANCE,
        episode_steps: int = EPISODE_STEPS,
        history_steps: int = 0,
        seed: int = 0,
    ) -> None:
        """Create the worlds and begin an episode in each; the arguments are `DroneBatch`'s.

        Raises:
            UserError: A number is impossible, a start unknown, or PyBullet is missing.
        """
        check_batch(
            count=count,
            starts=len(starts),
            seed=seed,
            steps=episode_steps,
            control_rate=control_rate,
            history=history_steps,
        )
        if count > LARGEST_BATCH:
            raise UserError(
                f"PyBullet flies at most {LARGEST_BATCH} drones at once, because each takes 32 MB: "
                "ask for fewer, or use the batched simulator"
            )
        disturbances.as_array()
        for name in starts:
            start_ranges(name, quadrotor)  # refuses what the batched simulator has not
        self.quadrotor, self.count, self.control_period = quadrotor, count, 1.0 / control_rate
        self._crash_distance, self._episode_steps = crash_distance, episode_steps
        self._draw = EpisodeDraw(tuple(starts), disturbances, episode_steps)
        self._seed = seed
        physics_rate = control_rate * max(1, round(PHYSICS_RATE / control_rate))
        self._drones = [
            BulletEpisode(
                Drone(quadrotor, control_rate=control_rate, physics_rate=physics_rate, ground=False)
            )
            for _ in range(count)
        ]
        self.set_coefficients(coefficients)
        self.references = Reference(np.zeros((count, 3)), np.zeros((count, 3)))
        self.observations = np.zeros((count, OBSERVATION_SIZE), np.float32)
        self.final_observations = np.zeros((count, OBSERVATION_SIZE), np.float32)
        self.rewards = np.zeros(count)
        self.reward_parts = np.zeros((count, REWARD_PARTS), np.float32)
        self.terminated = np.zeros(count, np.bool_)
        self.truncated = np.zeros(count, np.bool_)
        self.throttles = np.zeros((count, ACTION_SIZE))
        self._history = ActionHistory(count, history_steps)
        self.reset(seed=seed)

    @property
    def state(self) -> State:
        """True states, a copy, batch (count,)."""
        states = [x.state for x in self._drones]
        return State(
            np.array([x.position for x in states]),
            np.array([x.quaternion for x in states]),
            np.array([x.velocity for x in states]),
            np.array([x.body_rates for x in states]),
        )

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1], a copy."""
        return np.array([x.rotors for x in self._drones])

    @property
    def loads(self) -> Array:
        """Constant force in N, world, and torque in N m, body (count, 6); no pushes."""
        return np.array([x.loads for x in self._drones])

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps (count,) flown in the present episodes."""
        return np.array([x.steps for x in self._drones])

    @property
    def histories(self) -> NDArray[np.float32]:
        """Last actions (count, history_steps, 4), as `DroneBatch.histories` says."""
        return self._history.actions

    def close(self) -> None:
        """Close the worlds; closing twice does no harm."""
        for drone in self._drones:
            drone.close()

    def reset(self, *, seed: int | None = None) -> NDArray[np.float32]:
        """Begin an episode on every drone, with a seed the first one, and return observations."""
        if seed is not None:
            self._seed = seed
            for drone in self._drones:
                drone.number = -1
        for values in (self.rewards, self.reward_parts, self.terminated, self.truncated):
            values.fill(0)  # they were those of a flight that is over
        self._begin(np.arange(self.count))
        return self.observations

    def restart(self, drones: NDArray[np.bool_] | NDArray[np.integer]) -> None:
        """Begin the next episodes of some drones, as `DroneBatch.restart` does.

        Raises:
            UserError: The mask has another shape, or there is no drone of a number.
        """
        self._begin(numbers_of(drones, self.count))

    def step(self, actions: NDArray[np.floating], *, auto_reset: bool = True) -> None:
        """Fly one control period with motor actions (count, 4), as `DroneBatch.step` does.

        Raises:
            UserError: The actions have another shape.
        """
        check_actions(actions, self.count)
        self.throttles = throttle_from_action(actions)
        usable: NDArray[np.bool_] = np.asarray(np.isfinite(self.throttles).all(axis=1))
        for drone, throttle, good in zip(self._drones, self.throttles, usable, strict=True):
            drone.step(throttle if good else None)
        self._history.append(actions)
        state = self.state
        self._judge(state, usable)
        self._observe(np.arange(self.count), state, dropouts=True)
        ended = self.terminated | self.truncated
        if auto_reset and ended.any():
            self.final_observations[ended] = self.observations[ended]
            self._begin(np.flatnonzero(ended))

    def set_coefficients(self, coefficients: RewardCoefficients) -> None:
        """Use other weights of the reward from the next step on."""
        self._weights = coefficients.as_array()

    def set_states(self, state: State, rotors: Array) -> None:
        """Put the drones into states (count,) with rotors (count, 4), at step 0 of an episode.

        Commands before the first count as what the rotors show. Disturbances stay.
        """
        parts = (state.position, state.quaternion, state.velocity, state.body_rates, rotors)
        for drone, *part, rotor in zip(self._drones, *parts, strict=True):
            drone.put(State(*part), rotor)
        self._show(np.arange(self.count))

    def set_references(self, reference: Reference, *, observe: bool = True) -> None:
        """Move the points that errors are measured from, as `DroneBatch.set_references` does."""
        shape = (self.count, 3)
        self.references = Reference(
            np.broadcast_to(reference.position, shape).copy(),
            np.broadcast_to(reference.velocity, shape).copy(),
        )
        if observe:
            self._observe(np.arange(self.count), self.state)

    def set_disturbances(self, disturbances: Sequence[Disturbance]) -> None:
        """Give each drone the disturbance of its present episode; the next one draws its own."""
        for drone, disturbance in zip(self._drones, disturbances, strict=True):
            drone.disturb(disturbance)

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes in flight, the reward's coefficients and the seed."""
        return {
            "drones": np.array([x.snapshot() for x in self._drones]),
            "generators": json.dumps([x.rng.bit_generator.state for x in self._drones]),
            "references": np.stack([self.references.position, self.references.velocity]),
            **{name: getattr(self, name).copy() for name in _REPORTED},
            "coefficients": self._weights.copy(),
            "seed": self._seed,
            "history": self._history.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fly on from a snapshot of a batch with the same airframe, starts and disturbances.

        Raises:
            UserError: It is of another number of drones or of another simulator.
        """
        if len(snapshot.get("drones", ())) != self.count:
            raise UserError(
                f"the snapshot does not fit {self.count} PyBullet drones: restore it into a batch "
                "of the size and the simulator that it was taken from"
            )
        self._history.restore(snapshot["history"])
        states = json.loads(snapshot["generators"])
        for drone, row, state in zip(self._drones, snapshot["drones"], states, strict=True):
            drone.restore(row)
            drone.rng.bit_generator.state = state
        self.references = Reference(*np.array(snapshot["references"]))
        for name in _REPORTED:
            setattr(self, name, np.array(snapshot[name]))
        self._weights = np.array(snapshot["coefficients"])
        self._seed = int(snapshot["seed"])

    def _begin(self, drones: NDArray[np.int64]) -> None:
        """Begin the next episodes of some drones."""
        for number in drones:
            self._drones[number].begin(
                self._draw,
                (self._seed, int(number)),
                Reference(self.references.position[number], self.references.velocity[number]),
            )
        if len(drones):
            self._show(drones)

    def _show(self, drones: NDArray[np.int64]) -> None:
        """Observe drones whose episodes begin and fill their histories."""
        self._history.begin(drones, action_from_throttle(self.rotors[drones]))
        self._observe(drones, self.state)

    def _observe(self, drones: NDArray[np.int64], state: State, *, dropouts: bool = False) -> None:
        """Observe some of the drones, whose states are those of all."""
        noise = self._draw.disturbances.noise
        chosen = [self._drones[number] for number in drones]
        errors = np.array([drone.sensor_error(noise) for drone in chosen])
        seen = State(
            state.position[drones],
            state.quaternion[drones],
            state.velocity[drones],
            state.body_rates[drones],
        )
        reference = Reference(self.references.position[drones], self.references.velocity[drones])
        rows = observe(measure(seen, errors) if errors.any() else seen, reference)
        fresh = np.array([not (dropouts and drone.drops_out()) for drone in chosen])
        self.observations[drones[fresh]] = rows[fresh]

    def _judge(self, state: State, usable: NDArray[np.bool_]) -> None:
        """Write rewards and ends of the step that led to the states."""
        errors = np.abs(state.position - self.references.position)
        parts = reward_parts(
            state,
            self.references,
            self.throttles,
            hover_throttle=self.quadrotor.hover_throttle,
        )
        rewards = parts @ self._weights
        sound = usable & np.isfinite(rewards) & np.isfinite(state.body_rates).all(axis=1)
        finite = np.isfinite(rewards)
        self.rewards[:] = np.where(finite, rewards, 0.0)
        self.reward_parts[:] = np.where(finite[:, None], parts, 0.0)
        self.terminated[:] = ~(sound & (errors <= self._crash_distance).all(axis=1))
        self.truncated[:] = self.steps >= self._episode_steps
