"""One drone of `snn_sim.bullet.batch`: its episode, its random numbers, what its sensors show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_controller.vehicle import OBSERVATION_SIZE, Array, Quadrotor, Reference, State
from snn_sim.bullet.drone import Drone
from snn_sim.task import (
    Disturbance,
    Disturbances,
    delay_shares,
    disturbance_from_row,
    draw_disturbance,
    sample_start,
)


class DisturbedDrone:
    """One drone and what disturbs it; a step is `Drone.step` with all of it applied."""

    def __init__(self, world: Drone) -> None:
        """Take a world; it is nominal until `begin` says otherwise."""
        self.world, self.nominal = world, world.quadrotor
        self.disturbance: Disturbance | None = None
        self.steps = 0  # flown since the episode began, which pushes are timed by
        self.commands = [np.zeros(4)] * 3  # throttles of this, the last and the step before
        self._shares = delay_shares(0.0, world.control_period)

    def disturb(self, disturbance: Disturbance | None) -> None:
        """Fly under another disturbance from the next step on; None is the nominal drone."""
        self.disturbance = disturbance
        wanted: Quadrotor = self.nominal if disturbance is None else disturbance.quadrotor
        if self.world.quadrotor is not wanted:
            self.world.become(wanted)
        delay = 0.0 if disturbance is None else disturbance.delay
        self._shares = delay_shares(delay, self.world.control_period)

    def reset(self, state: State, rotors: Array) -> State:
        """Begin at step 0 in a state; commands before count as what the rotors (4,) show."""
        self.steps, self.commands = 0, [np.asarray(rotors)] * 3
        return self.world.reset(state, rotors)

    def step(self, throttle: Array | None) -> State:
        """Advance one control period with throttle (4,); None stops the motors at once."""
        step, self.steps = self.steps, self.steps + 1
        if throttle is None:
            return self.world.step(None)
        self.commands = [throttle, *self.commands[:-1]]
        if self.disturbance is None:
            return self.world.step(throttle)
        return self.world.step(
            self._shares @ np.array(self.commands),
            force=self.disturbance.force_at(step),
            torque=self.disturbance.torque,
        )


@dataclass(frozen=True)
class DrawRules:
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

    def begin(self, rules: DrawRules, key: tuple[int, int], reference: Reference) -> None:
        """Begin the next episode, which seed and number of the drone (the key) alone fix."""
        self.number += 1
        seed, drone = key
        self.rng = np.random.default_rng(
            np.random.SeedSequence(seed, spawn_key=(drone, self.number))
        )
        rng, nominal, name = self.rng, self._drone.nominal, rules.starts[0]
        if len(rules.starts) > 1:
            name = rules.starts[self.rng.integers(len(rules.starts))]
        start, rotors = sample_start(name, rng, target=reference.position, quadrotor=nominal)
        velocity = start.velocity + reference.velocity
        disturbance, sizes = None, rules.disturbances
        if not sizes.only_noise:
            period = self._world.control_period
            disturbance = draw_disturbance(
                sizes, rng, quadrotor=nominal, period=period, steps=rules.steps
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


_SNAPSHOT_SIZE = 73  # 18 of the world, 12 commands, 3 counts, 40 of the disturbance
