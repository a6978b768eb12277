"""What robustness is tested and trained against: airframes off nominal, forces, delay, sensors.

`Disturbances` says how much; `draw_disturbance` draws one episode's share of it.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field, replace

import numpy as np

from snn_controller.errors import UserError
from snn_controller.vehicle import (
    BODY_RATES,
    OBSERVATION_SIZE,
    POSITION_ERROR,
    ROTATION_MATRIX,
    VELOCITY_ERROR,
    Array,
    Quadrotor,
    State,
    per_number,
)

MAX_ACTION_DELAY = 0.02  # s, how far back the simulators remember commands


@dataclass(frozen=True)
class Disturbances:
    """Sizes of the disturbances; all zero, and lag factors of one, is the nominal drone."""

    mass: float = 0.0  # drawn uniformly in 1 +- this, as the next two
    inertia: float = 0.0  # each axis by itself
    thrust: float = 0.0
    lag_low: float = 1.0  # factor on both motor time constants, drawn uniformly
    lag_high: float = 1.0
    max_delay: float = 0.0  # s from action to motors, drawn uniformly from 0
    force: float = 0.0  # standard deviation per axis as a share of the weight m g
    torque: float = 0.0  # the same in m: torque = share of m g times 1 m
    push: float = 0.0  # one push of this share of the weight, at any time, in any direction
    push_duration: float = 0.2  # s
    position_noise: float = 0.0  # standard deviations of each observed number, every step: m
    rotation_noise: float = 0.0  # entries of the rotation matrix
    velocity_noise: float = 0.0  # m/s
    rate_noise: float = 0.0  # rad/s
    position_bias: float = 0.0  # standard deviations of what each observed number is off by, m,
    rotation_bias: float = 0.0  # constant over an episode
    velocity_bias: float = 0.0  # m/s
    rate_bias: float = 0.0  # rad/s
    dropout: float = 0.0  # probability that a step's observation repeats the one before

    def as_array(self) -> Array:
        """Return the fields in order, as the compiled simulator takes them.

        Raises:
            UserError: A number is negative, not finite or beyond what the simulators can do.
        """
        values = np.array(astuple(self), dtype=np.float64)
        shares = (self.mass, self.inertia, self.thrust, self.dropout)
        if not (np.isfinite(values).all() and (values >= 0.0).all() and max(shares) < 1.0):
            raise UserError(
                "disturbances must be finite, not negative, and spreads and dropout below 1"
            )
        if self.max_delay > MAX_ACTION_DELAY + 1e-12:
            raise UserError(f"an action delay is at most {MAX_ACTION_DELAY:g} s; choose less")
        if not 0.0 < self.lag_low <= self.lag_high:
            raise UserError("lag factors must be positive, the lower one first")
        return values

    @property
    def noise(self) -> Array:
        """Standard deviation of the noise (18,) on each number of the observation."""
        return per_number(
            self.position_noise, self.rotation_noise, self.velocity_noise, self.rate_noise
        )

    @property
    def only_noise(self) -> bool:
        """Whether every drone is nominal but for the noise on its observation."""
        quiet = dict.fromkeys(
            ("position_noise", "rotation_noise", "velocity_noise", "rate_noise"), 0.0
        )
        return replace(self, **quiet) == NOMINAL

    @property
    def bias(self) -> Array:
        """Standard deviation of the bias (18,) of each number of the observation."""
        return per_number(
            self.position_bias, self.rotation_bias, self.velocity_bias, self.rate_bias
        )


NOMINAL = Disturbances()
L2F_NOISE = replace(
    NOMINAL, position_noise=0.001, rotation_noise=0.001, velocity_noise=0.002, rate_noise=0.002
)
ROBUST = replace(
    L2F_NOISE,
    mass=0.2,
    inertia=0.2,
    thrust=0.15,
    lag_low=0.5,
    lag_high=2.0,
    max_delay=0.02,
    force=1.0 / 20.0,
    torque=1.0 / 10_000.0,
    push=0.2,
)
NOISY = replace(
    NOMINAL, position_noise=0.05, rotation_noise=0.001, velocity_noise=0.1, rate_noise=0.2
)


@dataclass(frozen=True)
class Disturbance:
    """What disturbs one episode."""

    quadrotor: Quadrotor  # the drone that really flies
    delay: float  # s
    force: Array  # (3,) N, world
    torque: Array  # (3,) N m, body
    push: Array  # (3,) N, world
    push_start: int  # first step of the push
    push_end: int  # first step after it
    bias: Array = field(default_factory=lambda: np.zeros(OBSERVATION_SIZE))  # (18,)
    dropout: float = 0.0  # probability a step

    def force_at(self, step: int) -> Array:
        """Return the force (3,) in N, world, that acts during a step."""
        return self.force + self.push if self.push_start <= step < self.push_end else self.force

    def as_row(self) -> Array:
        """Return all of it as numbers (40,), for snapshots; `disturbance_from_row` reads them."""
        drone = self.quadrotor
        lags = drone.motor_time_constant_up, drone.motor_time_constant_down
        parts = (self.force, self.torque, self.push, (self.push_start, self.push_end), self.bias)
        curve = drone.thrust_coefficients
        return np.concatenate(
            [(drone.mass,), drone.inertia, curve, lags, (self.delay, self.dropout), *parts]
        )


def disturbance_from_row(row: Array, nominal: Quadrotor) -> Disturbance:
    """Return the disturbance that was written down as a row (40,) for the same airframe."""
    mass, inertia, curve, lags, (delay, dropout), force, torque, push, times, bias = np.split(
        row, [1, 4, 7, 9, 11, 14, 17, 20, 22]
    )
    quadrotor = replace(
        nominal,
        mass=float(mass[0]),
        inertia=inertia,
        thrust_coefficients=curve,
        motor_time_constant_up=float(lags[0]),
        motor_time_constant_down=float(lags[1]),
    )
    start, end = (int(time) for time in times)
    return Disturbance(
        quadrotor, float(delay), force, torque, push, start, end, bias, float(dropout)
    )


def draw_disturbance(
    sizes: Disturbances,
    rng: np.random.Generator,
    *,
    quadrotor: Quadrotor,
    period: float,
    steps: int,
) -> Disturbance:
    """Draw the disturbance of one episode of some steps of a period in s.

    Raises:
        UserError: The sizes are impossible.
    """
    sizes.as_array()
    weight = quadrotor.mass * quadrotor.gravity
    drone = _draw_quadrotor(sizes, rng, quadrotor)
    direction = rng.normal(size=3)
    length = round(sizes.push_duration / period)
    start = int(rng.integers(max(steps - length, 0) + 1))
    return Disturbance(
        quadrotor=drone,
        delay=rng.uniform(0.0, sizes.max_delay),
        force=rng.normal(size=3) * sizes.force * weight,
        torque=rng.normal(size=3) * sizes.torque * weight,
        push=direction / np.linalg.norm(direction) * sizes.push * weight,
        push_start=start,
        push_end=start + length,
        # Drawn last and only where there is any, so that all else is as it was without.
        bias=rng.normal(size=OBSERVATION_SIZE) * sizes.bias if sizes.bias.any() else sizes.bias,
        dropout=sizes.dropout,
    )


def delay_shares(delay: float | Array, period: float) -> Array:
    """Return how much the commands of this, the last and the step before that count (..., 3).

    A delay of n whole steps and a fraction f uses the mean command of a step: 1 - f of the
    command n steps back and f of the one before it.
    """
    steps = np.asarray(delay, dtype=np.float64)[..., None] / period
    return np.maximum(0.0, 1.0 - np.abs(steps - np.arange(3.0)))


def _draw_quadrotor(
    sizes: Disturbances, rng: np.random.Generator, quadrotor: Quadrotor
) -> Quadrotor:
    lag = rng.uniform(sizes.lag_low, sizes.lag_high)
    thrust = 1.0 + rng.uniform(-sizes.thrust, sizes.thrust)
    return replace(
        quadrotor,
        mass=quadrotor.mass * (1.0 + rng.uniform(-sizes.mass, sizes.mass)),
        inertia=quadrotor.inertia * (1.0 + rng.uniform(-sizes.inertia, sizes.inertia, 3)),
        thrust_coefficients=quadrotor.thrust_coefficients * thrust,
        motor_time_constant_up=quadrotor.motor_time_constant_up * lag,
        motor_time_constant_down=quadrotor.motor_time_constant_down * lag,
    )


def split_flights(
    count: int, *, robust_share: float, noisy_share: float
) -> list[tuple[int, Disturbances]]:
    """Return how many of the flights are flown under which disturbances; none of zero.

    Args:
        count: Flights.
        robust_share: Share that is disturbed as in the cell `robust` of the fixed test.
        noisy_share: Share whose sensors are as noisy as in its cell `noisy`; the rest is nominal.
    """
    robust, noisy = round(robust_share * count), round(noisy_share * count)
    groups = ((count - robust - noisy, NOMINAL), (robust, ROBUST), (noisy, NOISY))
    return [(size, disturbances) for size, disturbances in groups if size > 0]


@dataclass(frozen=True)
class MeasuredState(State):
    """A state whose rotation matrix was measured number by number, so it is only nearly one."""

    matrix: Array  # (..., 3, 3)

    @property
    def rotation(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Rotation matrix (..., 3, 3) as measured."""
        return self.matrix


def measure(state: State, noise: Array) -> State:
    """Return the state with noise (..., 18) on it, in the order of the observation.

    What `observe` makes of it is the noisy observation, clipped after the noise.
    """
    matrix = noise[..., ROTATION_MATRIX]
    return MeasuredState(
        position=state.position + noise[..., POSITION_ERROR],
        quaternion=state.quaternion,
        velocity=state.velocity + noise[..., VELOCITY_ERROR],
        body_rates=state.body_rates + noise[..., BODY_RATES],
        matrix=state.rotation + matrix.reshape(*matrix.shape[:-1], 3, 3),
    )
