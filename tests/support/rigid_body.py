"""Reference integration for tests: the same airframe as an RK4 rigid body in plain NumPy."""

from __future__ import annotations

import numpy as np

from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.frames import Array, multiply_quaternions, quaternion_to_matrix
from snn_controller.vehicle.state import State


def fly_rk4(
    state: State,
    rotors: Array,
    throttles: Array,
    *,
    quadrotor: Quadrotor,
    period: float,
    steps: int,
    force: Array | None = None,
    torque: Array | None = None,
) -> list[State]:
    """Return the states after each control period of throttles (periods, 4).

    A force (3,) in N, world, and a torque (3,) in N m, body, may act all the time.
    """
    wrench = np.concatenate([np.zeros(3) if x is None else x for x in (force, torque)])
    x = np.concatenate([state.position, state.quaternion, state.velocity, state.body_rates, rotors])
    h, states = period / steps, []
    for throttle in throttles:
        for _ in range(steps):
            k1 = _derivative(x, throttle, quadrotor, wrench)
            k2 = _derivative(x + h / 2 * k1, throttle, quadrotor, wrench)
            k3 = _derivative(x + h / 2 * k2, throttle, quadrotor, wrench)
            k4 = _derivative(x + h * k3, throttle, quadrotor, wrench)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(State(x[:3], x[3:7] / np.linalg.norm(x[3:7]), x[7:10], x[10:13]))
    return states


def _derivative(x: Array, throttle: Array, quadrotor: Quadrotor, outer: Array) -> Array:
    quaternion, velocity, rates, rotors = x[3:7], x[7:10], x[10:13], x[13:]
    force, *torque = quadrotor.mixer @ quadrotor.thrust(rotors)
    inertia = quadrotor.inertia
    acceleration = quaternion_to_matrix(quaternion)[:, 2] * force / quadrotor.mass
    acceleration += outer[:3] / quadrotor.mass
    acceleration[2] -= quadrotor.gravity
    spin = 0.5 * multiply_quaternions(quaternion, np.append(rates, 0.0))
    angular = (np.array(torque) + outer[3:] - np.cross(rates, inertia * rates)) / inertia
    lag = np.where(
        throttle > rotors, quadrotor.motor_time_constant_up, quadrotor.motor_time_constant_down
    )
    return np.concatenate([velocity, spin, acceleration, angular, (throttle - rotors) / lag])
