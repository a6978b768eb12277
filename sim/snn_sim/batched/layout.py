"""Where the batched simulator keeps its numbers: rows of blocks, the vectors of settings, filling.

Drones are stored in blocks of `LANES`, and in a block each quantity is a row of `LANES` numbers, so
that one instruction works on several drones. A block is one flat array and the length of a row a
compile-time constant, which lets the compiler see that rows never overlap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_controller import vehicle
from snn_controller.vehicle import OBSERVATION_SIZE, Array, Quadrotor
from snn_sim.task import Disturbance, delay_shares

LANES = 32

# Rows of a block. Vectors take consecutive rows. SI units, world ENU, body FLU.
POSITION = 0  # 3
QUATERNION = 3  # 4, xyzw
VELOCITY = 7  # 3, world
BODY_RATES = 10  # 3, body
ROTORS = 13  # 4, in [0, 1]
REFERENCE_POSITION = 17  # 3
REFERENCE_VELOCITY = 20  # 3
COMMAND = 23  # 4, throttle of this step
LAST_COMMAND = 27  # 4, throttle one step before
EARLIER_COMMAND = 31  # 4, throttle two steps before
MASS = 35
INERTIA = 36  # 3, diagonal
THRUST_SCALE = 39
DECAY_UP = 40  # what is left of a rotor's lag after half a step
DECAY_DOWN = 41
DELAY_SHARE = 42  # 3, how much this, the last and the earlier command count
FORCE = 45  # 3, N, world, all the episode
TORQUE = 48  # 3, N m, body, all the episode
PUSH = 51  # 3, N, world
PUSH_START = 54  # step
PUSH_END = 55
DROPOUT = 56  # probability that a step's observation repeats the last one
BIAS = 57  # OBSERVATION_SIZE, on what is observed
STEPS = BIAS + OBSERVATION_SIZE  # flown in this episode
REWARD = STEPS + 1
CRASHED = REWARD + 1  # 1 after a crash
OBSERVED = CRASHED + 1  # OBSERVATION_SIZE, the observation before clipping
OBSERVED_POSITION = OBSERVED + vehicle.POSITION_ERROR.start
OBSERVED_ROTATION = OBSERVED + vehicle.ROTATION_MATRIX.start
OBSERVED_VELOCITY = OBSERVED + vehicle.VELOCITY_ERROR.start
OBSERVED_RATES = OBSERVED + vehicle.BODY_RATES.start
REWARD_PARTS = OBSERVED + OBSERVATION_SIZE  # 5, what the coefficients multiply
ROWS = REWARD_PARTS + 5

# Airframe: constants of the dynamics.
(
    GRAVITY,
    CURVE_0,
    CURVE_1,
    CURVE_2,
    HOVER_THROTTLE,
    NOMINAL_MASS,
    LAG_UP,
    LAG_DOWN,
    PERIOD,
) = range(9)
NOMINAL_INERTIA = 9  # 3
MIXER = 12  # 12, rows of the torques about x, y and z

# Reward coefficients.
REWARD_POSITION, REWARD_VELOCITY, REWARD_THROTTLE, REWARD_ATTITUDE, REWARD_SURVIVAL = range(5)

# Limits of an episode.
CRASH_DISTANCE, EPISODE_STEPS = range(2)

# One start distribution.
OFFSET, MAX_ANGLE, SPEED, AT_TARGET, ROTOR_LOW, ROTOR_HIGH = range(6)

# Disturbances; in the order of the fields of `snn_sim.task.disturbances.Disturbances`.
(
    MASS_SPREAD,
    INERTIA_SPREAD,
    THRUST_SPREAD,
    LAG_LOW,
    LAG_HIGH,
    MAX_DELAY,
    FORCE_SHARE,
    TORQUE_SHARE,
    PUSH_SHARE,
    PUSH_DURATION,
) = range(10)
DROPOUT_CHANCE = 18


class Settings(NamedTuple):
    """What a step is made with. Tuples, not arrays, so that no store can seem to change them."""

    airframe: tuple[float, ...]  # (24,)
    coefficients: tuple[float, ...]  # (5,)
    limits: tuple[float, ...]  # (2,)
    starts: NDArray[np.float64]  # (distributions, 6), drawn with equal chance
    sizes: NDArray[np.float64]  # (19,) disturbances
    noise: NDArray[np.float64]  # (18,) standard deviations of the observation
    bias: NDArray[np.float64]  # (18,) standard deviations of its bias
    faulty: bool  # whether any sensor is biased or drops out, so the rest need not look
    seed: int


class Arrays(NamedTuple):
    """What the drones are and what a step writes; rows beyond the batch fill up the last block."""

    memory: NDArray[np.float64]  # (blocks, ROWS * LANES)
    streams: NDArray[np.uint64]  # (drones,) random states
    episodes: NDArray[np.int64]  # (drones,) number of the present episode
    observations: NDArray[np.float32]  # (drones, 18)
    final_observations: NDArray[np.float32]  # (drones, 18) of episodes that ended
    rewards: NDArray[np.float64]  # (drones,)
    terminated: NDArray[np.bool_]  # (drones,)
    truncated: NDArray[np.bool_]  # (drones,)


class EpisodePhysics(NamedTuple):
    """What the present episodes are flown with, each array (drones, ...), as copies."""

    mass: Array  # (n, 1) kg
    inertia: Array  # (n, 3) kg m^2, diagonal
    thrust_scale: Array  # (n, 1) factor on the nominal thrust
    decay_up: Array  # (n, 1) what is left of a rising rotor's lag after half a step
    decay_down: Array  # (n, 1) the same of a falling one
    delay_shares: Array  # (n, 3) how much this, the last and the earlier command count
    force: Array  # (n, 3) N, world, all the episode
    torque: Array  # (n, 3) N m, body, all the episode
    push: Array  # (n, 3) N, world, from push_start to push_end
    push_start: Array  # (n, 1) step
    push_end: Array  # (n, 1) step


def read_physics(memory: Array, count: int) -> EpisodePhysics:
    """Return what the present episodes of the first drones are flown with."""
    rows = read_rows(memory, MASS, DROPOUT)[:count]
    ends = np.array([1, 4, 5, 6, 7, 10, 13, 16, 19, 20])  # mass, inertia, ... as the rows lie
    return EpisodePhysics(*(x.copy() for x in np.split(rows, ends, axis=1)))


def allocate(blocks: int) -> Arrays:
    """Return zeros for that many blocks of drones whose first episodes are still to begin."""
    drones = blocks * LANES
    return Arrays(
        memory=np.zeros((blocks, ROWS * LANES)),
        streams=np.zeros(drones, np.uint64),
        episodes=np.full(drones, -1),
        observations=np.zeros((drones, OBSERVATION_SIZE), np.float32),
        final_observations=np.zeros((drones, OBSERVATION_SIZE), np.float32),
        rewards=np.zeros(drones),
        terminated=np.zeros(drones, np.bool_),
        truncated=np.zeros(drones, np.bool_),
    )


def airframe_constants(quadrotor: Quadrotor, period: float) -> tuple[float, ...]:
    """Return the constants of the dynamics in the order of `layout`."""
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


def disturbance_rows(disturbance: Disturbance, nominal: Quadrotor, period: float) -> list[float]:
    """Return the rows from `MASS` to `BIAS` of one drone."""
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
        disturbance.dropout,
        *disturbance.bias,
    ]


def read_rows(memory: Array, first: int, end: int) -> Array:
    """Return the rows from first to end of all drones (drones, end - first)."""
    blocks = memory.reshape(-1, ROWS, LANES)[:, first:end]
    return blocks.transpose(0, 2, 1).reshape(-1, end - first)


def write_rows(memory: Array, first: int, values: Array) -> None:
    """Write values (count, n) of the first drones into n consecutive rows."""
    count, width = values.shape
    blocks = memory.reshape(-1, ROWS, LANES)[:, first : first + width]
    full, rest = divmod(count, LANES)
    whole = values[: full * LANES].reshape(full, LANES, width)
    blocks[:full] = whole.transpose(0, 2, 1)
    if rest:
        blocks[full, :, :rest] = values[full * LANES :].T
