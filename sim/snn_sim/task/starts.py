"""Where episodes begin: named distributions, each a pure function of a generator. SI units, ENU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snn_controller.errors import UserError
from snn_controller.vehicle import Array, Quadrotor, State, axis_angle_to_quaternion

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
