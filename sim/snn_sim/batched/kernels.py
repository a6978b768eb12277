"""The compiled passes of the batched twin over all tiles: step, observe, reset."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle import (
    OBSERVATION_SIZE,
    POSITION_ERROR_LIMIT,
    VELOCITY_ERROR_LIMIT,
    Array,
)
from snn_sim.batched.dynamics import add, advance, read3, read4, write3
from snn_sim.batched.layout import (
    BIAS,
    BODY_RATES,
    COMMAND,
    CRASHED,
    DROPOUT,
    EPISODE_STEPS,
    LANES,
    OBSERVED,
    POSITION,
    QUATERNION,
    REFERENCE_POSITION,
    REFERENCE_VELOCITY,
    REWARD,
    STEPS,
    VELOCITY,
    Arrays,
    Settings,
)
from snn_sim.batched.reward import judge
from snn_sim.batched.scalar_math import (
    called,
    clamp,
    compiled,
    inlined,
    normal_pair,
    stream_of,
    uniform,
)
from snn_sim.batched.starts import draw_airframe, draw_faults, draw_forces, draw_start


@inlined
def load_commands(tile: Array, actions: Array, first: int) -> None:
    """Turn the actions of a tile's drones into throttle; NaN stays NaN."""
    for lane in range(LANES):
        for rotor in range(4):
            throttle = clamp(0.5 * (actions[first + lane, rotor] + 1.0), 0.0, 1.0)
            tile[(COMMAND + rotor) * LANES + lane] = throttle


@inlined
def observe(tile: Array, lane: int) -> None:
    """Write the observation of a lane, before noise and clipping, into the tile."""
    p = add(read3(tile, POSITION, lane), -1.0, read3(tile, REFERENCE_POSITION, lane))
    v = add(read3(tile, VELOCITY, lane), -1.0, read3(tile, REFERENCE_VELOCITY, lane))
    x, y, z, w = read4(tile, QUATERNION, lane)
    write3(tile, OBSERVED, lane, p)
    xx, yy, zz = 2.0 * x * x, 2.0 * y * y, 2.0 * z * z
    xy, xz, yz = 2.0 * x * y, 2.0 * x * z, 2.0 * y * z
    xw, yw, zw = 2.0 * x * w, 2.0 * y * w, 2.0 * z * w
    write3(tile, OBSERVED + 3, lane, (1.0 - yy - zz, xy - zw, xz + yw))
    write3(tile, OBSERVED + 6, lane, (xy + zw, 1.0 - xx - zz, yz - xw))
    write3(tile, OBSERVED + 9, lane, (xz - yw, yz + xw, 1.0 - xx - yy))
    write3(tile, OBSERVED + 12, lane, v)
    write3(tile, OBSERVED + 15, lane, read3(tile, BODY_RATES, lane))


@called
def add_noise(tile: Array, lane: int, noise: Array, streams: Any, drone: int) -> None:
    """Add sensor noise to the observation of a lane."""
    for pair in range(OBSERVATION_SIZE // 2):
        one, other = normal_pair(streams, drone)
        tile[(OBSERVED + 2 * pair) * LANES + lane] += noise[2 * pair] * one
        tile[(OBSERVED + 2 * pair + 1) * LANES + lane] += noise[2 * pair + 1] * other


@inlined
def add_bias(tile: Array, lane: int) -> None:
    """Add the sensor bias to the observation of a lane."""
    for number in range(OBSERVATION_SIZE):
        tile[(OBSERVED + number) * LANES + lane] += tile[(BIAS + number) * LANES + lane]


@inlined
def write_observation(tile: Array, lane: int, rows: NDArray[np.float32], drone: int) -> None:
    """Copy the observation of a lane to a drone's row, clipped as `observation.observe` does.

    No row is sliced off, because the reference count of a slice costs more than the copy.
    """
    for number in range(OBSERVATION_SIZE):
        rows[drone, number] = tile[(OBSERVED + number) * LANES + lane]
    for axis in range(3):
        p, v = rows[drone, axis], rows[drone, 12 + axis]
        rows[drone, axis] = clamp(p, -POSITION_ERROR_LIMIT, POSITION_ERROR_LIMIT)
        rows[drone, 12 + axis] = clamp(v, -VELOCITY_ERROR_LIMIT, VELOCITY_ERROR_LIMIT)


@called
def start_episode(tile: Array, lane: int, drone: int, arrays: Arrays, settings: Settings) -> None:
    """Begin a drone's next episode from random numbers that only seed, drone and episode fix."""
    streams = arrays.streams
    arrays.episodes[drone] += 1
    streams[drone] = stream_of(settings.seed, drone, arrays.episodes[drone])
    choice = int(uniform(streams, drone, 0.0, 1.0) * len(settings.starts))
    draw_start(tile, lane, streams, drone, settings.starts, choice)
    draw_airframe(tile, lane, streams, drone, settings.airframe, settings.sizes)
    draw_forces(tile, lane, streams, drone, settings.airframe, settings.sizes, settings.rules)
    if settings.faulty:
        draw_faults(tile, lane, streams, drone, settings.bias, settings.sizes)


@inlined
def report(tile: Array, first: int, arrays: Arrays, settings: Settings) -> bool:
    """Report rewards and ends of a tile's step and return whether any episode ended."""
    ended = False
    for lane in range(LANES):
        reward = tile[REWARD * LANES + lane]
        arrays.rewards[first + lane] = reward if math.isfinite(reward) else 0.0
        terminated = tile[CRASHED * LANES + lane] > 0.0
        truncated = tile[STEPS * LANES + lane] >= settings.rules[EPISODE_STEPS]
        arrays.terminated[first + lane] = terminated
        arrays.truncated[first + lane] = truncated
        ended = ended or terminated or truncated
    return ended


@called
def observe_drone(tile: Array, lane: int, drone: int, arrays: Arrays, settings: Settings) -> None:
    """Observe one drone."""
    observe(tile, lane)
    if settings.faulty:
        add_bias(tile, lane)
    if settings.noise.any():
        add_noise(tile, lane, settings.noise, arrays.streams, drone)
    write_observation(tile, lane, arrays.observations, drone)


@called
def add_faults(tile: Array, first: int, arrays: Arrays, settings: Settings) -> None:
    """Disturb the observations of a tile's drones by bias and noise."""
    if settings.faulty:
        for lane in range(LANES):
            add_bias(tile, lane)
    if settings.noise.any():
        for lane in range(LANES):
            add_noise(tile, lane, settings.noise, arrays.streams, first + lane)


@inlined
def observe_tile(
    tile: Array, first: int, arrays: Arrays, settings: Settings, disturbed: bool, repeats: bool
) -> None:
    """Observe the drones of a tile; with `repeats` an observation may be left as the last one."""
    for lane in range(LANES):
        observe(tile, lane)
    if disturbed:
        add_faults(tile, first, arrays, settings)
    for lane in range(LANES):
        if repeats:
            chance = tile[DROPOUT * LANES + lane]
            if chance > 0.0 and uniform(arrays.streams, first + lane, 0.0, 1.0) < chance:
                continue
        write_observation(tile, lane, arrays.observations, first + lane)


@called
def restart(tile: Array, first: int, arrays: Arrays, settings: Settings) -> None:
    """Begin the next episodes of the drones of a tile whose episodes ended."""
    for lane in range(LANES):
        drone = first + lane
        if arrays.terminated[drone] or arrays.truncated[drone]:
            for number in range(OBSERVATION_SIZE):
                arrays.final_observations[drone, number] = arrays.observations[drone, number]
            start_episode(tile, lane, drone, arrays, settings)
            observe_drone(tile, lane, drone, arrays, settings)


def _make_step(fingerprint: int) -> Callable[..., None]:
    """Return the compiled step; its free variable makes the cache follow all source files."""

    @compiled
    def step_tiles(arrays: Arrays, settings: Settings, actions: Array, auto_reset: bool) -> None:
        faulty = settings.faulty and fingerprint >= 0
        disturbed = faulty or settings.noise.any()
        for number in range(len(arrays.memory)):
            tile, first = arrays.memory[number], number * LANES
            load_commands(tile, actions, first)
            for lane in range(LANES):
                advance(tile, lane, settings.airframe)
            for lane in range(LANES):
                judge(tile, lane, settings.airframe, settings.coefficients, settings.rules)
            observe_tile(tile, first, arrays, settings, disturbed, faulty)
            if report(tile, first, arrays, settings) and auto_reset:
                restart(tile, first, arrays, settings)

    return step_tiles


def _make_observe(fingerprint: int) -> Callable[..., None]:
    """Return the compiled observation of all drones; see `_make_step`."""

    @compiled
    def observe_tiles(arrays: Arrays, settings: Settings) -> None:
        disturbed = (settings.faulty or settings.noise.any()) and fingerprint >= 0
        for number in range(len(arrays.memory)):
            tile, first = arrays.memory[number], number * LANES
            observe_tile(tile, first, arrays, settings, disturbed, False)

    return observe_tiles


def _make_reset(fingerprint: int) -> Callable[..., None]:
    """Return the compiled beginning of episodes; see `_make_step`."""

    @compiled
    def reset_drones(arrays: Arrays, settings: Settings, drones: NDArray[np.int64]) -> None:
        for drone in drones:
            if fingerprint >= 0:
                tile, lane = arrays.memory[drone // LANES], drone % LANES
                start_episode(tile, lane, drone, arrays, settings)
                observe_drone(tile, lane, drone, arrays, settings)

    return reset_drones


def _fingerprint() -> int:
    # numba keeps compiled code until the file of the compiled function changes, but what is
    # inlined lives in the files beside it
    files = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


step_tiles = _make_step(_fingerprint())
reset_drones = _make_reset(_fingerprint())
observe_tiles = _make_observe(_fingerprint())
