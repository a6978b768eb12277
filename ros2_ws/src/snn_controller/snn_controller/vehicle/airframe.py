"""Airframes: mass, rotors, thrust curve and what follows from them. SI units, body FLU."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike

from snn_controller.errors import UserError, quote
from snn_controller.vehicle.frames import Array

QUADROTORS_FILE = Path(__file__).with_name("airframes.yaml")
MAX_FILE_SIZE = 1024 * 1024  # bytes
LARGEST = 1e6  # of any number of an airframe, in SI units


@dataclass(frozen=True)
class Quadrotor:
    """One airframe with four rotors in the order M1..M4."""

    name: str
    mass: float  # kg
    inertia: Array  # (3,) kg m^2, diagonal
    rotor_positions: Array  # (4, 2) m, body x and y
    rotor_directions: Array  # (4,) sign of the yaw torque of each rotor
    thrust_coefficients: Array  # (3,) N: c0 + c1 u + c2 u^2
    torque_constant: float  # m, yaw torque per thrust
    motor_time_constant_up: float  # s
    motor_time_constant_down: float  # s
    gravity: float  # m/s^2
    collision_radius: float  # m
    collision_height: float  # m

    def thrust(self, throttle: ArrayLike) -> Array:
        """Return rotor thrust (...) in N at a throttle in [0, 1]."""
        u = np.asarray(throttle, dtype=np.float64)
        c0, c1, c2 = self.thrust_coefficients
        return c0 + u * (c1 + u * c2)

    def throttle(self, thrust: ArrayLike) -> Array:
        """Return the throttle (...) in [0, 1] that gives a rotor thrust in N, nearest if none does.

        The rising branch of the curve is inverted; thrust is clipped to `thrust_range` first.
        """
        c0, c1, c2 = self.thrust_coefficients
        clipped = np.clip(thrust, *self.thrust_range)
        root = np.sqrt(np.maximum(c1 * c1 - 4.0 * c2 * (c0 - clipped), 0.0))
        return np.clip((-c1 + root) / (2.0 * c2), 0.0, 1.0)

    @cached_property
    def thrust_range(self) -> tuple[float, float]:
        """Lowest and highest thrust of one rotor in N over throttle in [0, 1]."""
        _, c1, c2 = self.thrust_coefficients
        lowest = float(np.clip(-c1 / (2.0 * c2), 0.0, 1.0))
        return float(self.thrust(lowest)), float(self.thrust(1.0))

    @cached_property
    def hover_throttle(self) -> float:
        """Throttle at which four equal rotors carry the weight."""
        return float(self.throttle(self.mass * self.gravity / 4.0))

    @cached_property
    def mixer(self) -> Array:
        """Matrix (4, 4) from rotor thrusts in N to collective force in N and body torque in N m."""
        x, y = self.rotor_positions.T
        return np.stack([np.ones(4), y, -x, self.torque_constant * self.rotor_directions])

    @cached_property
    def inverse_mixer(self) -> Array:
        """Matrix (4, 4) from (force, torque x, y, z) to rotor thrusts in N."""
        return np.asarray(np.linalg.inv(self.mixer), dtype=np.float64)

    def step_rotors(self, rotors: Array, throttle: ArrayLike, dt: float | Array) -> Array:
        """Advance rotor states (..., 4) towards a throttle over dt seconds of first-order lag.

        The exact solution for a constant throttle, so any dt is stable. Several times (n, 1) at
        once give states (n, 4).
        """
        command = np.asarray(throttle, dtype=np.float64)
        up, down = self.motor_time_constant_up, self.motor_time_constant_down
        if up == down:
            keep = _decay(dt, up)
        else:
            keep = np.where(command > rotors, _decay(dt, up), _decay(dt, down))
        return command + (rotors - command) * keep


def _decay(dt: float | Array, time_constant: float) -> Array:
    return np.exp(-dt / time_constant) if time_constant > 0.0 else np.zeros_like(dt)


def load_quadrotor(name: str, path: Path = QUADROTORS_FILE) -> Quadrotor:
    """Return the airframe of that name from a YAML file.

    Raises:
        UserError: The file, the airframe or one of its numbers is missing or impossible.
    """
    airframes = _read(path)
    if name not in airframes:
        known = ", ".join(sorted(map(str, airframes)))
        raise UserError(f"unknown airframe '{quote(name)}'; {path.name} has: {quote(known)}")
    try:
        quadrotor = _parse(name, airframes[name])
        _check(quadrotor)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"airframe '{quote(name)}' in {path} is incomplete or malformed: {quote(error)}; fix it"
        ) from error
    return quadrotor


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
        if len(content) > MAX_FILE_SIZE:
            raise ValueError(f"larger than {MAX_FILE_SIZE} bytes")
        airframes = yaml.safe_load(content.decode())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(
            f"airframe file {path} cannot be read ({quote(error)}); restore or fix it"
        ) from error
    if not isinstance(airframes, Mapping):
        raise UserError(f"airframe file {path} names no airframes; restore or fix it")
    return airframes


def _parse(name: str, values: Mapping[str, Any]) -> Quadrotor:
    return Quadrotor(
        name=name,
        mass=_number(values["mass"]),
        inertia=_array(values["inertia"], (3,)),
        rotor_positions=_array(values["rotor_positions"], (4, 2)),
        rotor_directions=_array(values["rotor_directions"], (4,)),
        thrust_coefficients=_array(values["thrust_coefficients"], (3,)),
        torque_constant=_number(values["torque_constant"]),
        motor_time_constant_up=_number(values["motor_time_constant"]["up"]),
        motor_time_constant_down=_number(values["motor_time_constant"]["down"]),
        gravity=_number(values["gravity"]),
        collision_radius=_number(values["collision_radius"]),
        collision_height=_number(values["collision_height"]),
    )


def _check(quadrotor: Quadrotor) -> None:
    """Raise ValueError for what no airframe can have, or nobody could fly."""
    q = quadrotor
    positive = (q.mass, *q.inertia, q.gravity, q.torque_constant, q.thrust_coefficients[2])
    if min(*positive, q.collision_radius, q.collision_height) <= 0.0:
        raise ValueError(
            "mass, inertia, gravity, torque_constant, collision sizes and the square term of the"
            " thrust must be positive"
        )
    if min(q.motor_time_constant_up, q.motor_time_constant_down) < 0.0:
        raise ValueError("motor time constants must not be negative")
    if (np.abs(q.rotor_directions) != 1.0).any():
        raise ValueError("rotor_directions must be 1 or -1")
    if np.linalg.matrix_rank(q.mixer) < 4:
        raise ValueError("its rotors cannot turn it about every axis")
    if 4.0 * q.thrust_range[1] <= q.mass * q.gravity:
        raise ValueError("full throttle does not carry the weight")


def _number(value: Any) -> float:
    # A string is what YAML 1.1 makes of 1e-5.
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
            if abs(number) <= LARGEST:  # so neither infinite nor NaN
                return number
    raise ValueError(f"expected a finite number up to {LARGEST:g}, got {reprlib.repr(value)}")


def _array(values: Any, shape: tuple[int, ...]) -> Array:
    # Before NumPy unfolds them: aliases of YAML make lists of any size from few bytes.
    if not isinstance(values, list) or len(values) != shape[0]:
        raise ValueError(f"expected {shape} finite numbers, got {reprlib.repr(values)}")
    rows = [_array(row, shape[1:]) if shape[1:] else _number(row) for row in values]
    return np.array(rows, dtype=np.float64)
