"""Thousands of drones at once, compiled: what `snn_sim.bullet` flies, batched. SI units, ENU, FLU.

The same rigid body, thrust curve, mixer and motor lag, integrated by RK4 with one step a control
period, without ground. Drones do not touch each other. Every drone has random numbers of its own:
its episodes depend on the seed and its number only, not on how many fly beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import Array, Quadrotor, Reference, State, action_from_throttle
from snn_sim.batched import layout
from snn_sim.batched.kernels import observe_blocks, reset_drones, step_blocks
from snn_sim.batched.layout import (
    LANES,
    EpisodePhysics,
    Settings,
    airframe_constants,
    allocate,
    disturbance_rows,
    read_physics,
    read_rows,
    write_rows,
)
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
    numbers_of,
    start_ranges,
)


class DroneBatch:
    """Many drones side by side, with episodes, rewards and observations.

    Arrays that properties return change with the next step, so copy what is to be kept.
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
        """Create the drones; `reset` begins their episodes.

        Args:
            quadrotor: Airframe.
            count: Number of drones.
            starts: Start distributions of `snn_sim.task.episode`, drawn with equal chance.
            disturbances: What disturbs each episode.
            coefficients: Weights of the reward; `set_coefficients` changes them.
            control_rate: Control periods, and RK4 steps, per second.
            crash_distance: Error in m on any axis that ends an episode.
            episode_steps: Steps after which an episode is truncated.
            history_steps: Last actions that `histories` shows.
            seed: Seed of all episodes.

        Raises:
            UserError: A number is impossible or a start unknown.
        """
        check_batch(
            count=count,
            starts=len(starts),
            seed=seed,
            steps=episode_steps,
            control_rate=control_rate,
            history=history_steps,
        )
        self.quadrotor, self.count = quadrotor, count
        self.control_period = 1.0 / control_rate
        self._settings = Settings(
            airframe=airframe_constants(quadrotor, self.control_period),
            coefficients=(0.0,) * 5,
            limits=(float(crash_distance), float(episode_steps)),
            starts=np.array([start_ranges(name, quadrotor) for name in starts]),
            sizes=disturbances.as_array(),
            noise=disturbances.noise,
            bias=disturbances.bias,
            faulty=bool(disturbances.bias.any() or disturbances.dropout > 0.0),
            seed=seed,
        )
        self.set_coefficients(coefficients)
        self._arrays = allocate(-(-count // LANES))
        self._actions = np.zeros((len(self._arrays.rewards), 4))
        self._history = ActionHistory(count, history_steps)
        self.reset(seed=seed)

    @property
    def observations(self) -> NDArray[np.float32]:
        """Observations (count, 18) of the present states."""
        return self._arrays.observations[: self.count]

    @property
    def final_observations(self) -> NDArray[np.float32]:
        """Last observations (count, 18) of the episodes that the last step ended."""
        return self._arrays.final_observations[: self.count]

    @property
    def rewards(self) -> Array:
        """Rewards (count,) of the last step."""
        return self._arrays.rewards[: self.count]

    @property
    def reward_parts(self) -> NDArray[np.float32]:
        """What each coefficient multiplies in the last step's rewards (count, 5), a copy.

        In the order of `RewardCoefficients`; zeros for a state that is not finite.
        """
        with np.errstate(all="ignore"):
            parts = self._read(layout.REWARD_PARTS, layout.ROWS).astype(np.float32)
        finite = np.isfinite(parts)
        if not finite.all():
            parts[~finite.all(axis=1)] = 0.0
        return parts

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """Whether each drone (count,) crashed in the last step."""
        return self._arrays.terminated[: self.count]

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """Whether each drone's episode (count,) reached the cap in the last step."""
        return self._arrays.truncated[: self.count]

    @property
    def state(self) -> State:
        """True states, a copy, batch (count,)."""
        rows = self._read(layout.POSITION, layout.ROTORS)
        position, quaternion, velocity, body_rates = np.split(rows, [3, 7, 10], axis=1)
        return State(position, quaternion, velocity, body_rates)

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1], a copy."""
        return self._read(layout.ROTORS, layout.ROTORS + 4)

    @property
    def loads(self) -> Array:
        """Constant force in N, world, and torque in N m, body (count, 6); no pushes."""
        return self._read(layout.FORCE, layout.TORQUE + 3)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps (count,) flown in the present episodes."""
        return self._read(layout.STEPS, layout.STEPS + 1)[:, 0].astype(np.int64)

    @property
    def references(self) -> Reference:
        """The points that errors are measured from, a copy, batch (count,)."""
        rows = self._read(layout.REFERENCE_POSITION, layout.REFERENCE_VELOCITY + 3)
        return Reference(rows[:, :3], rows[:, 3:])

    @property
    def throttles(self) -> Array:
        """Throttle (count, 4) in [0, 1] that the last step commanded, a copy; rewards charge it."""
        return self._read(layout.COMMAND, layout.COMMAND + 4)

    @property
    def physics(self) -> EpisodePhysics:
        """What the present episodes (count,) are flown with, copies."""
        return read_physics(self._arrays.memory, self.count)

    @property
    def histories(self) -> NDArray[np.float32]:
        """Last actions (count, history_steps, 4), oldest first; at first what the rotors show."""
        return self._history.actions

    def reset(self, *, seed: int | None = None) -> NDArray[np.float32]:
        """Begin an episode on every drone, with a seed the first one, and return observations."""
        if seed is not None:
            self._settings = self._settings._replace(seed=seed)
            self._arrays.episodes.fill(-1)
        for values in (self._arrays.rewards, self._arrays.terminated, self._arrays.truncated):
            values.fill(0)  # they were those of a flight that is over
        self._write(layout.REWARD_PARTS, np.zeros((self.count, REWARD_PARTS)))
        self._begin(np.arange(len(self._actions)))
        return self.observations

    def restart(self, drones: NDArray[np.bool_] | NDArray[np.integer]) -> None:
        """Begin the next episodes of some drones, given as a mask (count,) or by their numbers.

        Rewards and ends stay those of the last step.

        Raises:
            UserError: The mask has another shape, or there is no drone of a number.
        """
        self._begin(numbers_of(drones, self.count))

    def snapshot(self) -> dict[str, Any]:
        """Return copies of all that changes in flight, the reward's coefficients and the seed.

        A batch of the same airframe, starts and disturbances that is restored from it flies on
        bit by bit as this one would have.
        """
        return {
            **{name: x.copy() for name, x in self._arrays._asdict().items()},
            "coefficients": np.array(self._settings.coefficients),
            "seed": self._settings.seed,
            "faulty": self._settings.faulty,
            "history": self._history.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fly on from a snapshot.

        Raises:
            UserError: It is of another number of drones or of another version.
        """
        self._history.restore(snapshot.get("history", ()))
        for name, values in self._arrays._asdict().items():
            if np.shape(snapshot.get(name, ())) != values.shape:
                raise UserError(
                    f"the snapshot's {name} do not fit {self.count} drones: restore it into a "
                    "batch of the size and version that it was taken from"
                )
        for name, values in self._arrays._asdict().items():
            values[...] = snapshot[name].view(values.dtype)
        self._settings = self._settings._replace(
            coefficients=tuple(np.asarray(snapshot["coefficients"]).tolist()),
            seed=int(snapshot["seed"]),
            faulty=bool(snapshot["faulty"]),
        )

    def step(self, actions: NDArray[np.floating], *, auto_reset: bool = True) -> None:
        """Fly one control period with motor actions (count, 4); what lies outside +-1 is clipped.

        An action that is NaN crashes its drone. With `auto_reset`, drones whose episodes ended
        begin their next ones, and `observations` shows the new starts.

        Raises:
            UserError: The actions have another shape.
        """
        check_actions(actions, self.count)
        self._actions[: self.count] = actions
        step_blocks(self._arrays, self._settings, self._actions, auto_reset)
        self._history.append(actions)
        if auto_reset and self._history.steps:
            self._begin_histories(np.flatnonzero(self.terminated | self.truncated))

    def set_coefficients(self, coefficients: RewardCoefficients) -> None:
        """Use other weights of the reward from the next step on."""
        weights = tuple(coefficients.as_array().tolist())
        self._settings = self._settings._replace(coefficients=weights)

    def set_states(self, state: State, rotors: Array) -> None:
        """Put the drones into states (count,) with rotors (count, 4), at step 0 of an episode.

        Commands before the first count as what the rotors show. Disturbances stay.
        """
        parts = (state.position, state.quaternion, state.velocity, state.body_rates, rotors)
        self._write(layout.POSITION, np.concatenate(parts, axis=1))
        for row in (layout.LAST_COMMAND, layout.EARLIER_COMMAND):
            self._write(row, rotors)
        self._write(layout.STEPS, np.zeros((self.count, 1)))
        self._begin_histories(np.arange(self.count))
        self._observe()

    def set_references(self, reference: Reference, *, observe: bool = True) -> None:
        """Move the points that errors are measured from, batch (count,) or one for all.

        With `observe` the observations change at once, with new sensor noise. Without, they show
        the move after the next step: that is what to do before each step of a moving reference.
        """
        shape = (self.count, 3)
        self._write(layout.REFERENCE_POSITION, np.broadcast_to(reference.position, shape))
        self._write(layout.REFERENCE_VELOCITY, np.broadcast_to(reference.velocity, shape))
        if observe:
            self._observe()

    def set_disturbances(self, disturbances: Sequence[Disturbance]) -> None:
        """Disturb the present episodes; biases show from the next observation on."""
        rows = [disturbance_rows(x, self.quadrotor, self.control_period) for x in disturbances]
        self._write(layout.MASS, np.array(rows))
        if any(x.bias.any() or x.dropout > 0.0 for x in disturbances):
            self._settings = self._settings._replace(faulty=True)

    def close(self) -> None:
        """Do nothing; drones in PyBullet close their worlds here."""

    def _begin(self, drones: NDArray[np.int64]) -> None:
        reset_drones(self._arrays, self._settings, drones)
        self._begin_histories(drones[drones < self.count])

    def _begin_histories(self, drones: NDArray[np.int64]) -> None:
        if self._history.steps and len(drones):
            self._history.begin(drones, action_from_throttle(self.rotors[drones]))

    def _observe(self) -> None:
        observe_blocks(self._arrays, self._settings)

    def _read(self, first: int, end: int) -> Array:
        return read_rows(self._arrays.memory, first, end)[: self.count].copy()

    def _write(self, first: int, values: Array) -> None:
        write_rows(self._arrays.memory, first, values)
