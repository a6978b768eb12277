"""The compiled passes of the batched simulator over all blocks: step, observe, reset."""

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
    PART_SIZES,
    POSITION_ERROR,
    POSITION_ERROR_LIMIT,
    VELOCITY_ERROR,
    VELOCITY_ERROR_LIMIT,
    Array,
)
from snn_sim.batched.dynamics import add, advance, judge, read3, read4, write3
from snn_sim.batched.layout import (
    BIAS,
    BODY_RATES,
    COMMAND,
    CRASHED,
    DROPOUT,
    EPISODE_STEPS,
    LANES,
    OBSERVED,
    OBSERVED_POSITION,
    OBSERVED_RATES,
    OBSERVED_ROTATION,
    OBSERVED_VELOCITY,
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

# Compiled code takes numbers, not slices.
_FIRST_POSITION, _FIRST_VELOCITY = POSITION_ERROR.start, VELOCITY_ERROR.start


@inlined
def load_commands(block: Array, actions: Array, first: int) -> None:
    """Turn the actions of a block's drones into throttle; NaN stays NaN."""
    for lane in range(LANES):
        for rotor in range(4):
            throttle = clamp(0.5 * (actions[first + lane, rotor] + 1.0), 0.0, 1.0)
            block[(COMMAND + rotor) * LANES + lane] = throttle


@inlined
def observe(block: Array, lane: int) -> None:
    """Write the observation of a lane, before noise and clipping, into the block."""
    p = add(read3(block, POSITION, lane), -1.0, read3(block, REFERENCE_POSITION, lane))
    v = add(read3(block, VELOCITY, lane), -1.0, read3(block, REFERENCE_VELOCITY, lane))
    x, y, z, w = read4(block, QUATERNION, lane)
    write3(block, OBSERVED_POSITION, lane, p)
    xx, yy, zz = 2.0 * x * x, 2.0 * y * y, 2.0 * z * z
    xy, xz, yz = 2.0 * x * y, 2.0 * x * z, 2.0 * y * z
    xw, yw, zw = 2.0 * x * w, 2.0 * y * w, 2.0 * z * w
    write3(block, OBSERVED_ROTATION, lane, (1.0 - yy - zz, xy - zw, xz + yw))
    write3(block, OBSERVED_ROTATION + 3, lane, (xy + zw, 1.0 - xx - zz, yz - xw))
    write3(block, OBSERVED_ROTATION + 6, lane, (xz - yw, yz + xw, 1.0 - xx - yy))
    write3(block, OBSERVED_VELOCITY, lane, v)
    write3(block, OBSERVED_RATES, lane, read3(block, BODY_RATES, lane))


@called
def add_noise(block: Array, lane: int, noise: Array, streams: Any, drone: int) -> None:
    """Add sensor noise to the observation of a lane."""
    for pair in range(OBSERVATION_SIZE // 2):
        one, other = normal_pair(streams, drone)
        block[(OBSERVED + 2 * pair) * LANES + lane] += noise[2 * pair] * one
        block[(OBSERVED + 2 * pair + 1) * LANES + lane] += noise[2 * pair + 1] * other
    if OBSERVATION_SIZE % 2:
        one, _ = normal_pair(streams, drone)
        block[(OBSERVED + OBSERVATION_SIZE - 1) * LANES + lane] += noise[OBSERVATION_SIZE - 1] * one


@inlined
def add_bias(block: Array, lane: int) -> None:
    """Add the sensor bias to the observation of a lane."""
    for number in range(OBSERVATION_SIZE):
        block[(OBSERVED + number) * LANES + lane] += block[(BIAS + number) * LANES + lane]


@inlined
def write_observation(block: Array, lane: int, rows: NDArray[np.float32], drone: int) -> None:
    """Copy the observation of a lane to a drone's row, clipped as `observation.observe` does.

    No row is sliced off, because the reference count of a slice costs more than the copy.
    """
    for number in range(OBSERVATION_SIZE):
        rows[drone, number] = block[(OBSERVED + number) * LANES + lane]
    for axis in range(3):
        near, slow = _FIRST_POSITION + axis, _FIRST_VELOCITY + axis
        p, v = rows[drone, near], rows[drone, slow]
        rows[drone, near] = clamp(p, -POSITION_ERROR_LIMIT, POSITION_ERROR_LIMIT)
        rows[drone, slow] = clamp(v, -VELOCITY_ERROR_LIMIT, VELOCITY_ERROR_LIMIT)


@called
def start_episode(block: Array, lane: int, drone: int, arrays: Arrays, settings: Settings) -> None:
    """Begin a drone's next episode from random numbers that only seed, drone and episode fix."""
    streams = arrays.streams
    arrays.episodes[drone] += 1
    streams[drone] = stream_of(settings.seed, drone, arrays.episodes[drone])
    choice = int(uniform(streams, drone, 0.0, 1.0) * len(settings.starts))
    draw_start(block, lane, streams, drone, settings.starts, choice)
    draw_airframe(block, lane, streams, drone, settings.airframe, settings.sizes)
    draw_forces(block, lane, streams, drone, settings.airframe, settings.sizes, settings.limits)
    if settings.faulty:
        draw_faults(block, lane, streams, drone, settings.bias, settings.sizes)


@inlined
def report(block: Array, first: int, arrays: Arrays, settings: Settings) -> bool:
    """Report rewards and ends of a block's step and return whether any episode ended."""
    ended = False
    for lane in range(LANES):
        reward = block[REWARD * LANES + lane]
        arrays.rewards[first + lane] = reward if math.isfinite(reward) else 0.0
        terminated = block[CRASHED * LANES + lane] > 0.0
        truncated = block[STEPS * LANES + lane] >= settings.limits[EPISODE_STEPS]
        arrays.terminated[first + lane] = terminated
        arrays.truncated[first + lane] = truncated
        ended = ended or terminated or truncated
    return ended


@called
def observe_drone(block: Array, lane: int, drone: int, arrays: Arrays, settings: Settings) -> None:
    """Observe one drone."""
    observe(block, lane)
    if settings.faulty:
        add_bias(block, lane)
    if settings.noise.any():
        add_noise(block, lane, settings.noise, arrays.streams, drone)
    write_observation(block, lane, arrays.observations, drone)


@called
def add_faults(block: Array, first: int, arrays: Arrays, settings: Settings) -> None:
    """Disturb the observations of a block's drones by bias and noise."""
    if settings.faulty:
        for lane in range(LANES):
            add_bias(block, lane)
    if settings.noise.any():
        for lane in range(LANES):
            add_noise(block, lane, settings.noise, arrays.streams, first + lane)


@inlined
def observe_block(
    block: Array, first: int, arrays: Arrays, settings: Settings, disturbed: bool, repeats: bool
) -> None:
    """Observe the drones of a block; with `repeats` an observation may be left as the last one."""
    for lane in range(LANES):
        observe(block, lane)
    if disturbed:
        add_faults(block, first, arrays, settings)
    for lane in range(LANES):
        if repeats:
            chance = block[DROPOUT * LANES + lane]
            if chance > 0.0 and uniform(arrays.streams, first + lane, 0.0, 1.0) < chance:
                continue
        write_observation(block, lane, arrays.observations, first + lane)


@called
def restart(block: Array, first: int, arrays: Arrays, settings: Settings) -> None:
    """Begin the next episodes of the drones of a block whose episodes ended."""
    for lane in range(LANES):
        drone = first + lane
        if arrays.terminated[drone] or arrays.truncated[drone]:
            for number in range(OBSERVATION_SIZE):
                arrays.final_observations[drone, number] = arrays.observations[drone, number]
            start_episode(block, lane, drone, arrays, settings)
            observe_drone(block, lane, drone, arrays, settings)


def _make_step(fingerprint: int) -> Callable[..., None]:
    """Return the compiled step; its free variable makes the cache follow all source files."""

    @compiled
    def step_blocks(arrays: Arrays, settings: Settings, actions: Array, auto_reset: bool) -> None:
        faulty = settings.faulty and fingerprint >= 0
        disturbed = faulty or settings.noise.any()
        for number in range(len(arrays.memory)):
            block, first = arrays.memory[number], number * LANES
            load_commands(block, actions, first)
            for lane in range(LANES):
                advance(block, lane, settings.airframe)
            for lane in range(LANES):
                judge(block, lane, settings.airframe, settings.coefficients, settings.limits)
            observe_block(block, first, arrays, settings, disturbed, faulty)
            if report(block, first, arrays, settings) and auto_reset:
                restart(block, first, arrays, settings)

    return step_blocks


def _make_observe(fingerprint: int) -> Callable[..., None]:
    """Return the compiled observation of all drones; see `_make_step`."""

    @compiled
    def observe_blocks(arrays: Arrays, settings: Settings) -> None:
        disturbed = (settings.faulty or settings.noise.any()) and fingerprint >= 0
        for number in range(len(arrays.memory)):
            block, first = arrays.memory[number], number * LANES
            observe_block(block, first, arrays, settings, disturbed, False)

    return observe_blocks


def _make_reset(fingerprint: int) -> Callable[..., None]:
    """Return the compiled beginning of episodes; see `_make_step`."""

    @compiled
    def reset_drones(arrays: Arrays, settings: Settings, drones: NDArray[np.int64]) -> None:
        for drone in drones:
            if fingerprint >= 0:
                block, lane = arrays.memory[drone // LANES], drone % LANES
                start_episode(block, lane, drone, arrays, settings)
                observe_drone(block, lane, drone, arrays, settings)

    return reset_drones


def _fingerprint() -> int:
    # numba keeps compiled code until the file of the compiled function changes, but what is
    # inlined lives in the files beside it, and the observation's numbers in the definition
    files = sorted(Path(__file__).parent.glob("*.py"))
    numbers = (PART_SIZES, POSITION_ERROR_LIMIT, VELOCITY_ERROR_LIMIT)
    return zlib.crc32(b"".join(file.read_bytes() for file in files) + repr(numbers).encode())


step_blocks = _make_step(_fingerprint())
reset_drones = _make_reset(_fingerprint())
observe_blocks = _make_observe(_fingerprint())
