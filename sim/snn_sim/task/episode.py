"""An episode, the same in training and in the fixed test: how it begins, where it flies, its end.

SI units, world ENU. Start distributions are named, each a pure function of a generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import Array, Quadrotor, Reference, State, axis_angle_to_quaternion

CONTROL_RATE = 100.0  # Hz
CRASH_DISTANCE = 0.6  # m from the reference on any axis
EPISODE_STEPS = 500
MAX_ANGLE = np.pi / 2  # rad
START_SPEED = 1.0  # m/s per axis, and rad/s for the body rates
START_THROTTLE = 0.5
HOVER_OFFSET = 0.2  # m per axis
AT_TARGET_PROBABILITY = 0.1  # of standard and hard episodes: at the target and level

Start = tuple[State, Array]  # state, rotors (4,)


@dataclass(frozen=True)
class _Tumble:
    """A start away from the target, turned and moving."""

    offset: float  # m per axis
    random_rotors: bool

    def __call__(self, rng: np.random.Generator, target: Array, quadrotor: Quadrotor) -> Start:
        at_target = rng.random() < AT_TARGET_PROBABILITY
        offset = rng.uniform(-self.offset, self.offset, 3)
        quaternion = random_rotation(rng, MAX_ANGLE)
        velocity = rng.uniform(-START_SPEED, START_SPEED, 3)
        body_rates = rng.uniform(-START_SPEED, START_SPEED, 3)
        rotors = rng.uniform(0.0, 1.0, 4) if self.random_rotors else np.full(4, START_THROTTLE)
        if at_target:
            offset, quaternion = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
        return State(target + offset, quaternion, velocity, body_rates), rotors


def _easy(rng: np.random.Generator, target: Array, quadrotor: Quadrotor) -> Start:
    return State.at_rest(target), np.full(4, START_THROTTLE)


def _hover(rng: np.random.Generator, target: Array, quadrotor: Quadrotor) -> Start:
    offset = rng.uniform(-HOVER_OFFSET, HOVER_OFFSET, 3)
    return State.at_rest(target + offset), np.full(4, quadrotor.hover_throttle)


def _ground(rng: np.random.Generator, target: Array, quadrotor: Quadrotor) -> Start:
    position = np.array([target[0], target[1], quadrotor.collision_height / 2.0])
    return State.at_rest(position), np.zeros(4)


STARTS: dict[str, Callable[[np.random.Generator, Array, Quadrotor], Start]] = {
    "easy": _easy,
    "standard": _Tumble(offset=0.2, random_rotors=False),
    "hard": _Tumble(offset=0.5, random_rotors=True),
    "hover": _hover,
    "ground": _ground,
}


def sample_start(
    name: str, rng: np.random.Generator, *, target: Array, quadrotor: Quadrotor
) -> Start:
    """Draw the state and the rotors (4,) that an episode begins with.

    Args:
        name: One of `STARTS`.
        rng: Source of randomness; the same generator state gives the same start.
        target: Hover point (3,) in m.
        quadrotor: Airframe, for its hover throttle and its height on the ground.

    Raises:
        UserError: There is no such distribution.
    """
    if name not in STARTS:
        raise UserError(f"unknown start '{name}'; choose one of: {', '.join(STARTS)}")
    return STARTS[name](rng, np.asarray(target, dtype=np.float64), quadrotor)


def start_ranges(name: str, quadrotor: Quadrotor) -> tuple[float, ...]:
    """Return a distribution in numbers, as the batched simulator draws it.

    Returns:
        Largest offset in m, angle in rad and speed in m/s and rad/s; probability of the target;
        lowest and highest rotor state.

    Raises:
        UserError: There is no such distribution in numbers.
    """
    start, fixed = STARTS.get(name), (START_THROTTLE, START_THROTTLE)
    if isinstance(start, _Tumble):
        rotors = (0.0, 1.0) if start.random_rotors else fixed
        return (start.offset, MAX_ANGLE, START_SPEED, AT_TARGET_PROBABILITY, *rotors)
    if name == "easy":
        return (0.0, 0.0, 0.0, 0.0, *fixed)
    if name == "hover":
        return (HOVER_OFFSET, 0.0, 0.0, 0.0, quadrotor.hover_throttle, quadrotor.hover_throttle)
    raise UserError(f"no start '{name}' in a batch; choose one of: easy, standard, hard, hover")


def random_rotation(rng: np.random.Generator, max_angle: float) -> Array:
    """Draw a quaternion (4,) xyzw, uniform over the rotations with at most that angle in rad.

    Under the Haar measure the angle has the density 1 - cos(angle); it is drawn by rejection
    from the uniform density, the axis is uniform on the sphere.
    """
    peak = 1.0 - np.cos(max_angle)
    angle = rng.uniform(0.0, max_angle)
    while rng.uniform(0.0, peak) > 1.0 - np.cos(angle):
        angle = rng.uniform(0.0, max_angle)
    axis = rng.normal(size=3)
    return axis_angle_to_quaternion(axis / np.linalg.norm(axis), angle)


@dataclass(frozen=True)
class EpisodeConfig:
    """What the episodes of a roll-out look like."""

    ticks: int = 300
    """Control ticks of an episode."""
    starts: tuple[str, ...] = ("standard", "hard", "hover")
    """Start distributions, drawn with equal chance."""
    moving_share: float = 0.4
    """Share of episodes whose reference moves along sines."""
    step_share: float = 0.2
    """Share of episodes whose reference jumps once."""
    max_reference_acceleration: float = 3.0
    """Largest acceleration in m/s^2 of a moving reference, per axis."""
    max_step: float = 1.0
    """Longest jump in m of the reference, per axis."""


class References(NamedTuple):
    """One moving point per drone: sines on each axis, and one jump."""

    amplitude: Array  # (drones, 3) m
    frequency: Array  # (drones, 3) rad/s
    phase: Array  # (drones, 3) rad
    jump: Array  # (drones, 3) m
    jump_time: Array  # (drones, 1) s

    def at(self, time: float | Array) -> Reference:
        """Return the references of all drones at a time in s, one or each its own (drones, 1)."""
        phase = self.frequency * time + self.phase
        position = self.amplitude * (np.sin(phase) - np.sin(self.phase))
        velocity = self.amplitude * self.frequency * np.cos(phase)
        return Reference(position + np.where(time >= self.jump_time, self.jump, 0.0), velocity)


def draw_references(
    count: int, config: EpisodeConfig, period: float, rng: np.random.Generator
) -> References:
    """Draw the references of episodes; a control period in s gives the jumps their time."""
    kind = rng.uniform(size=(count, 1))
    moving = kind < config.moving_share
    jumping = (kind >= config.moving_share) & (kind < config.moving_share + config.step_share)
    frequency = 2.0 * np.pi / rng.uniform(2.5, 12.0, (count, 3))
    acceleration = rng.uniform(0.0, config.max_reference_acceleration, (count, 3))
    amplitude = np.minimum(acceleration / frequency**2, 1.5)
    amplitude[:, 2] *= rng.uniform(size=count) < 0.5  # level tracks are the common case
    return References(
        amplitude=np.where(moving, amplitude, 0.0),
        frequency=frequency,
        phase=rng.uniform(0.0, 2.0 * np.pi, (count, 3)),
        jump=np.where(jumping, rng.uniform(-config.max_step, config.max_step, (count, 3)), 0.0),
        jump_time=rng.uniform(0.2, 0.5, (count, 1)) * config.ticks * period,
    )


def has_crashed(state: State, reference: Reference, *, distance: float = CRASH_DISTANCE) -> bool:
    """Whether one drone is outside the box around the reference, or not finite."""
    inside = all(abs(x) <= distance for x in (state.position - reference.position).tolist())
    return not (inside and state.is_finite())


def check_batch(
    *, count: int, starts: int, seed: int, steps: int, control_rate: float, history: int
) -> None:
    """Refuse an impossible batch of drones.

    Raises:
        UserError: A number is out of range.
    """
    sizes_are_good = min(count, starts, steps) >= 1 and history >= 0
    if not (sizes_are_good and control_rate > 0.0 and 0 <= seed < 2**63):
        raise UserError(
            "a batch needs at least one drone, one step and start, a positive control rate, a "
            "history of 0 steps or more and a seed of at least 0 and below 2^63"
        )


def numbers_of(drones: ArrayLike, count: int) -> NDArray[np.int64]:
    """Return the numbers of drones that are given as a mask (count,) or by their numbers.

    Raises:
        UserError: The mask has another shape, or there is no drone of a number.
    """
    chosen = np.asarray(drones)
    if chosen.dtype == np.bool_ and chosen.shape == (count,):
        chosen = np.flatnonzero(chosen)
    if chosen.dtype == np.bool_ or not np.all((chosen >= 0) & (chosen < count)):
        raise UserError(
            f"choose drones by a mask of the shape {(count,)} or by numbers from 0 to {count - 1}"
        )
    return chosen.astype(np.int64)


def check_actions(actions: NDArray[np.floating], count: int) -> None:
    """Refuse actions that are not one for each drone.

    Raises:
        UserError: The actions have another shape than (count, 4).
    """
    if np.shape(actions) != (count, 4):
        raise UserError(f"actions must have the shape {(count, 4)}, not {np.shape(actions)}")
