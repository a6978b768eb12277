"""The batched twin of `sim.drone`: thousands of drones at once, compiled. SI units, ENU, FLU.

The same rigid body, thrust curve, mixer and motor lag, integrated by RK4 with one step a control
period, without ground. Drones do not touch each other. Every drone has random numbers of its own:
its episodes depend on the seed and its number only, not on how many fly beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from snn_controller.errors import UserError
from snn_controller.frames import Array
from snn_controller.observation import OBSERVATION_SIZE
from snn_controller.quadrotor import Quadrotor
from snn_controller.state import Reference, State

from sim import batched_layout as layout
from sim.batched_kernels import reset_drones, step_tiles
from sim.batched_layout import LANES, ROWS, Arrays, Settings
from sim.disturbances import NOMINAL, Disturbance, Disturbances, delay_shares
from sim.drone import CONTROL_RATE
from sim.reward import START_COEFFICIENTS, RewardCoefficients
from sim.rules import CRASH_DISTANCE, EPISODE_STEPS
from sim.starts import start_ranges


class DroneBatch:
    """Many drones side by side, with episodes, rewards and observations.

    Each array that a property returns is the batch's own: it changes with the next step, so copy
    what is to be kept.
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
        seed: int = 0,
    ) -> None:
        """Create the drones; `reset` begins their episodes.

        Args:
            quadrotor: Airframe.
            count: Number of drones.
            starts: Start distributions of `sim.starts`, drawn with equal chance.
            disturbances: What disturbs each episode.
            coefficients: Weights of the reward; `set_coefficients` changes them.
            control_rate: Control periods, and RK4 steps, per second.
            crash_distance: Error in m on any axis that ends an episode.
            episode_steps: Steps after which an episode is truncated.
            seed: Seed of all episodes.

        Raises:
            UserError: A number is impossible or a start unknown.
        """
        if (
            min(count, len(starts)) < 1
            or not 0 <= seed < 2**63
            or episode_steps < 1
            or control_rate <= 0.0
        ):
            raise UserError(
                "a batch needs at least one drone, one step and start, a positive control rate and "
                "a seed of at least 0 and below 2^63"
            )
        self.quadrotor, self.count = quadrotor, count
        self.control_period = 1.0 / control_rate
        self._settings = Settings(
            airframe=_airframe(quadrotor, self.control_period),
            coefficients=(0.0,) * 5,
            rules=(float(crash_distance), float(episode_steps)),
            starts=np.array([start_ranges(name, quadrotor) for name in starts]),
            sizes=disturbances.as_array(),
            noise=disturbances.noise,
            seed=seed,
        )
        self.set_coefficients(coefficients)
        self._arrays = _allocate(-(-count // LANES))
        self._actions = np.zeros((len(self._arrays.rewards), 4))
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
    def steps(self) -> NDArray[np.int64]:
        """Steps (count,) flown in the present episodes."""
        return self._read(layout.STEPS, layout.STEPS + 1)[:, 0].astype(np.int64)

    def reset(self, *, seed: int | None = None) -> NDArray[np.float32]:
        """Begin an episode on every drone, with a seed the first one, and return observations."""
        if seed is not None:
            self._settings = self._settings._replace(seed=seed)
            self._arrays.episodes.fill(-1)
        reset_drones(self._arrays, self._settings, np.arange(len(self._actions)), True)
        return self.observations

    def step(self, actions: NDArray[np.floating], *, auto_reset: bool = True) -> None:
        """Fly one control period with motor actions (count, 4); what lies outside +-1 is clipped.

        An action that is NaN crashes its drone. With `auto_reset`, drones whose episodes ended
        begin their next ones, and `observations` shows the new starts.

        Raises:
            UserError: The actions have another shape.
        """
        if np.shape(actions) != (self.count, 4):
            raise UserError(
                f"actions must have the shape {(self.count, 4)}, not {np.shape(actions)}"
            )
        self._actions[: self.count] = actions
        step_tiles(self._arrays, self._settings, self._actions, auto_reset)

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
        self._observe()

    def set_references(self, reference: Reference) -> None:
        """Move the points that errors are measured from, batch (count,) or one for all."""
        shape = (self.count, 3)
        self._write(layout.REFERENCE_POSITION, np.broadcast_to(reference.position, shape))
        self._write(layout.REFERENCE_VELOCITY, np.broadcast_to(reference.velocity, shape))
        self._observe()

    def set_disturbances(self, disturbances: Sequence[Disturbance]) -> None:
        """Give each drone the disturbance of its present episode; the next one draws its own."""
        rows = [_disturbance_rows(x, self.quadrotor, self.control_period) for x in disturbances]
        self._write(layout.MASS, np.array(rows))

    def _observe(self) -> None:
        reset_drones(self._arrays, self._settings, np.arange(self.count), False)

    def _read(self, first: int, end: int) -> Array:
        tiles = self._arrays.memory.reshape(-1, ROWS, LANES)[:, first:end]
        return tiles.transpose(0, 2, 1).reshape(-1, end - first)[: self.count].copy()

    def _write(self, first: int, values: Array) -> None:
        """Write values (count, n) into n consecutive rows."""
        tiles = self._arrays.memory.reshape(-1, ROWS, LANES)
        tile, lane = np.divmod(np.arange(self.count), LANES)
        tiles[tile, first : first + values.shape[1], lane] = values


def _allocate(tiles: int) -> Arrays:
    drones = tiles * LANES
    return Arrays(
        memory=np.zeros((tiles, ROWS * LANES)),
        streams=np.zeros(drones, np.uint64),
        episodes=np.full(drones, -1),
        observations=np.zeros((drones, OBSERVATION_SIZE), np.float32),
        final_observations=np.zeros((drones, OBSERVATION_SIZE), np.float32),
        rewards=np.zeros(drones),
        terminated=np.zeros(drones, np.bool_),
        truncated=np.zeros(drones, np.bool_),
    )


def _airframe(quadrotor: Quadrotor, period: float) -> tuple[float, ...]:
    values = [
        quadrotor.gravity,
        *quadrotor.thrust_coefficients,
        quadrotor.hover_throttle,
        quadrotor.mass,
        quadrotor.motor_time_constant_up,
        quadrotor.motor_time_constant_down,
        period,
        *quadrotor.inertia,
        *quadrotor.mixer[1:].ravel(),
    ]
    return tuple(float(value) for value in values)


def _disturbance_rows(disturbance: Disturbance, nominal: Quadrotor, period: float) -> list[float]:
    """Return the rows from `MASS` to `PUSH_END` of one drone."""
    drone = disturbance.quadrotor
    lags = drone.motor_time_constant_up, drone.motor_time_constant_down
    return [
        drone.mass,
        *drone.inertia,
        drone.thrust_coefficients[2] / nominal.thrust_coefficients[2],
        *(float(np.exp(-0.5 * period / lag)) if lag > 0.0 else 0.0 for lag in lags),
        *delay_shares(disturbance.delay, period),
        *disturbance.force,
        *disturbance.torque,
        *disturbance.push,
        float(disturbance.push_start),
        float(disturbance.push_end),
    ]
