"""Airframes: mass, rotors, thrust curve and what follows from them. SI units, body FLU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike

from snn_controller.errors import UserError
from snn_controller.frames import Array

QUADROTORS_FILE = Path(__file__).with_name("quadrotors.yaml")


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
    try:
        airframes = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(
            f"airframe file {path} cannot be read ({error}); restore or fix it"
        ) from error
    if not isinstance(airframes, Mapping) or name not in airframes:
        known = ", ".join(sorted(airframes)) if isinstance(airframes, Mapping) else "none"
        raise UserError(f"unknown airframe '{name}'; {path.name} has: {known}")
    try:
        return _parse(name, airframes[name])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"airframe '{name}' in {path} is incomplete or malformed: {error}"
        ) from error


def _parse(name: str, values: Mapping[str, Any]) -> Quadrotor:
    quadrotor = Quadrotor(
        name=name,
        mass=float(values["mass"]),
        inertia=_array(values["inertia"], (3,)),
        rotor_positions=_array(values["rotor_positions"], (4, 2)),
        rotor_directions=_array(values["rotor_directions"], (4,)),
        thrust_coefficients=_array(values["thrust_coefficients"], (3,)),
        torque_constant=float(values["torque_constant"]),
        motor_time_constant_up=float(values["motor_time_constant"]["up"]),
        motor_time_constant_down=float(values["motor_time_constant"]["down"]),
        gravity=float(values["gravity"]),
        collision_radius=float(values["collision_radius"]),
        collision_height=float(values["collision_height"]),
    )
    if quadrotor.mass <= 0.0 or (quadrotor.inertia <= 0.0).any():
        raise ValueError("mass and inertia must be positive")
    if 4.0 * quadrotor.thrust_range[1] <= quadrotor.mass * quadrotor.gravity:
        raise ValueError("full throttle does not carry the weight")
    return quadrotor


def _array(values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"expected {shape} finite numbers, got {values}")
    return array
