"""How an episode of one lane begins: its start and its disturbance, drawn from its own stream."""

from __future__ import annotations

import math
from typing import Any

from snn_controller.vehicle import Array
from snn_sim.batched.dynamics import Airframe, Four, Vector, add, write3, write4
from snn_sim.batched.layout import (
    AT_TARGET,
    BIAS,
    BODY_RATES,
    DECAY_DOWN,
    DECAY_UP,
    DELAY_SHARE,
    DROPOUT,
    DROPOUT_CHANCE,
    EARLIER_COMMAND,
    EPISODE_STEPS,
    FORCE,
    FORCE_SHARE,
    GRAVITY,
    INERTIA,
    INERTIA_SPREAD,
    LAG_DOWN,
    LAG_HIGH,
    LAG_LOW,
    LAG_UP,
    LANES,
    LAST_COMMAND,
    MASS,
    MASS_SPREAD,
    MAX_ANGLE,
    MAX_DELAY,
    NOMINAL_INERTIA,
    NOMINAL_MASS,
    OFFSET,
    PERIOD,
    POSITION,
    PUSH,
    PUSH_DURATION,
    PUSH_END,
    PUSH_SHARE,
    PUSH_START,
    QUATERNION,
    REFERENCE_POSITION,
    REFERENCE_VELOCITY,
    ROTOR_HIGH,
    ROTOR_LOW,
    ROTORS,
    SPEED,
    STEPS,
    THRUST_SCALE,
    THRUST_SPREAD,
    TORQUE,
    TORQUE_SHARE,
    VELOCITY,
)
from snn_sim.batched.scalar_math import called, inlined, normal_pair, uniform


@inlined
def uniform3(streams: Any, drone: int, reach: float) -> Vector:
    """Draw a vector with each component uniform in +-reach."""
    return (
        uniform(streams, drone, -reach, reach),
        uniform(streams, drone, -reach, reach),
        uniform(streams, drone, -reach, reach),
    )


@inlined
def normal3(streams: Any, drone: int) -> Vector:
    """Draw a vector of three standard normal numbers."""
    x, y = normal_pair(streams, drone)
    z, _ = normal_pair(streams, drone)
    return x, y, z


@inlined
def direction(streams: Any, drone: int) -> Vector:
    """Draw a direction, uniform on the sphere: each coordinate is uniform in +-1."""
    z = uniform(streams, drone, -1.0, 1.0)
    around = uniform(streams, drone, 0.0, 2.0 * math.pi)
    radius = math.sqrt(1.0 - z * z)
    return radius * math.cos(around), radius * math.sin(around), z


@inlined
def rotation(streams: Any, drone: int, max_angle: float) -> Four:
    """Draw a quaternion, uniform over the rotations with at most that angle.

    The angle's density is 1 - cos(angle), drawn by rejection from the density angle^2, which the
    largest of three uniform numbers has.
    """
    angle = candidate_angle(streams, drone, max_angle)
    while uniform(streams, drone, 0.0, 0.5 * angle * angle) > 1.0 - math.cos(angle):
        angle = candidate_angle(streams, drone, max_angle)
    x, y, z = direction(streams, drone)
    sine = math.sin(0.5 * angle)
    return sine * x, sine * y, sine * z, math.cos(0.5 * angle)


@inlined
def candidate_angle(streams: Any, drone: int, max_angle: float) -> float:
    """Draw an angle with the density angle^2."""
    one, two, three = uniform3(streams, drone, 0.5)
    return max_angle * (0.5 + max(one, two, three))


@called
def draw_start(block: Array, lane: int, streams: Any, drone: int, starts: Array, row: int) -> None:
    """Write position, attitude, velocity, rates and rotors of a start around the reference."""
    at_target = uniform(streams, drone, 0.0, 1.0) < starts[row, AT_TARGET]
    offset = uniform3(streams, drone, starts[row, OFFSET])
    quaternion = rotation(streams, drone, starts[row, MAX_ANGLE])
    if at_target:
        offset, quaternion = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
    for axis in range(3):
        at = axis * LANES + lane
        block[POSITION * LANES + at] = block[REFERENCE_POSITION * LANES + at] + offset[axis]
    write4(block, QUATERNION, lane, quaternion)
    velocity = uniform3(streams, drone, starts[row, SPEED])
    for axis in range(3):
        at = axis * LANES + lane
        block[VELOCITY * LANES + at] = block[REFERENCE_VELOCITY * LANES + at] + velocity[axis]
    write3(block, BODY_RATES, lane, uniform3(streams, drone, starts[row, SPEED]))
    for rotor in range(4):
        state = uniform(streams, drone, starts[row, ROTOR_LOW], starts[row, ROTOR_HIGH])
        block[(ROTORS + rotor) * LANES + lane] = state
        block[(LAST_COMMAND + rotor) * LANES + lane] = state
        block[(EARLIER_COMMAND + rotor) * LANES + lane] = state
    block[STEPS * LANES + lane] = 0.0


@inlined
def spread(streams: Any, drone: int, reach: float) -> float:
    """Draw a factor, uniform in 1 +- reach."""
    return 1.0 + uniform(streams, drone, -reach, reach)


@called
def draw_airframe(
    block: Array, lane: int, streams: Any, drone: int, airframe: Airframe, sizes: Array
) -> None:
    """Write mass, inertia, thrust, motor lag and action delay of an episode."""
    block[MASS * LANES + lane] = airframe[NOMINAL_MASS] * spread(streams, drone, sizes[MASS_SPREAD])
    for axis in range(3):
        factor = spread(streams, drone, sizes[INERTIA_SPREAD])
        block[(INERTIA + axis) * LANES + lane] = airframe[NOMINAL_INERTIA + axis] * factor
    block[THRUST_SCALE * LANES + lane] = spread(streams, drone, sizes[THRUST_SPREAD])
    lag = uniform(streams, drone, sizes[LAG_LOW], sizes[LAG_HIGH])
    half = -0.5 * airframe[PERIOD] / lag
    up, down = airframe[LAG_UP], airframe[LAG_DOWN]
    block[DECAY_UP * LANES + lane] = math.exp(half / up) if up > 0.0 else 0.0
    block[DECAY_DOWN * LANES + lane] = math.exp(half / down) if down > 0.0 else 0.0
    delay = uniform(streams, drone, 0.0, sizes[MAX_DELAY]) / airframe[PERIOD]
    for steps in range(3):
        share = 1.0 - math.fabs(delay - steps)
        block[(DELAY_SHARE + steps) * LANES + lane] = share if share > 0.0 else 0.0


@inlined
def scaled_normal3(streams: Any, drone: int, deviation: float) -> Vector:
    """Draw a vector of three normal numbers; nothing is drawn where it would be zero anyway."""
    if deviation == 0.0:
        return 0.0, 0.0, 0.0
    return add((0.0, 0.0, 0.0), deviation, normal3(streams, drone))


@called
def draw_forces(
    block: Array,
    lane: int,
    streams: Any,
    drone: int,
    airframe: Airframe,
    sizes: Array,
    limits: tuple[float, ...],
) -> None:
    """Write the constant force and torque of an episode, and its push."""
    weight, push = airframe[NOMINAL_MASS] * airframe[GRAVITY], (0.0, 0.0, 0.0)
    write3(block, FORCE, lane, scaled_normal3(streams, drone, sizes[FORCE_SHARE] * weight))
    write3(block, TORQUE, lane, scaled_normal3(streams, drone, sizes[TORQUE_SHARE] * weight))
    if sizes[PUSH_SHARE] > 0.0:
        push = add(push, sizes[PUSH_SHARE] * weight, direction(streams, drone))
    write3(block, PUSH, lane, push)
    length = math.floor(sizes[PUSH_DURATION] / airframe[PERIOD] + 0.5)
    last = max(limits[EPISODE_STEPS] - length, 0.0)
    start = math.floor(uniform(streams, drone, 0.0, last + 1.0))
    block[PUSH_START * LANES + lane] = start
    block[PUSH_END * LANES + lane] = start + length


@called
def draw_faults(
    block: Array, lane: int, streams: Any, drone: int, bias: Array, sizes: Array
) -> None:
    """Write the sensor bias of an episode and its chance of dropouts."""
    block[DROPOUT * LANES + lane] = sizes[DROPOUT_CHANCE]
    for number in range(len(bias)):
        block[(BIAS + number) * LANES + lane] = 0.0
        if bias[number] > 0.0:
            block[(BIAS + number) * LANES + lane] = bias[number] * normal_pair(streams, drone)[0]
