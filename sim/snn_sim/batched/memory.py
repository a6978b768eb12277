"""Filling the batched twin's memory from outside the compiled code."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_controller.vehicle import OBSERVATION_SIZE, Array, Quadrotor
from snn_sim.batched import layout
from snn_sim.batched.layout import LANES, ROWS, Arrays
from snn_sim.task import Disturbance, delay_shares


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
    rows = read_rows(memory, layout.MASS, layout.DROPOUT)[:count]
    ends = np.array([1, 4, 5, 6, 7, 10, 13, 16, 19, 20])  # mass, inertia, ... as the rows lie
    return EpisodePhysics(*(x.copy() for x in np.split(rows, ends, axis=1)))


def allocate(tiles: int) -> Arrays:
    """Return zeros for that many tiles of drones whose first episodes are still to begin."""
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


def airframe_constants(quadrotor: Quadrotor, period: float) -> tuple[float, ...]:
    """Return the constants of the dynamics in the order of `batched_layout`."""
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
    tiles = memory.reshape(-1, ROWS, LANES)[:, first:end]
    return tiles.transpose(0, 2, 1).reshape(-1, end - first)


def write_rows(memory: Array, first: int, values: Array) -> None:
    """Write values (count, n) of the first drones into n consecutive rows."""
    count, width = values.shape
    tiles = memory.reshape(-1, ROWS, LANES)[:, first : first + width]
    full, rest = divmod(count, LANES)
    whole = values[: full * LANES].reshape(full, LANES, width)
    tiles[:full] = whole.transpose(0, 2, 1)
    if rest:
        tiles[full, :, :rest] = values[full * LANES :].T
