"""Where the batched twin keeps its numbers: rows of tiles, and the vectors of settings.

Drones are stored in tiles of `LANES`, and in a tile each quantity is a row of `LANES` numbers, so
that one instruction works on several drones. A tile is one flat array and the length of a row a
compile-time constant, which lets the compiler see that rows never overlap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LANES = 32

# Rows of a tile. Vectors take consecutive rows. SI units, world ENU, body FLU.
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
BIAS = 57  # 18, on the observation
STEPS = 75  # flown in this episode
REWARD = 76
CRASHED = 77  # 1 after a crash
OBSERVED = 78  # 18, the observation before clipping
ROWS = 96
STATE_ROWS = 17  # the first rows are the state

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

# Rules of an episode.
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
    rules: tuple[float, ...]  # (2,)
    starts: NDArray[np.float64]  # (distributions, 6), drawn with equal chance
    sizes: NDArray[np.float64]  # (19,) disturbances
    noise: NDArray[np.float64]  # (18,) standard deviations of the observation
    bias: NDArray[np.float64]  # (18,) standard deviations of its bias
    faulty: bool  # whether any sensor is biased or drops out, so the rest need not look
    seed: int


class Arrays(NamedTuple):
    """What the drones are and what a step writes; rows beyond the batch fill up the last tile."""

    memory: NDArray[np.float64]  # (tiles, ROWS * LANES)
    streams: NDArray[np.uint64]  # (drones,) random states
    episodes: NDArray[np.int64]  # (drones,) number of the present episode
    observations: NDArray[np.float32]  # (drones, 18)
    final_observations: NDArray[np.float32]  # (drones, 18) of episodes that ended
    rewards: NDArray[np.float64]  # (drones,)
    terminated: NDArray[np.bool_]  # (drones,)
    truncated: NDArray[np.bool_]  # (drones,)
