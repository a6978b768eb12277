"""Reward and crash of one lane, the same as `snn_sim.task.reward` and `snn_sim.task.episode`."""

from __future__ import annotations

import math

from snn_controller.vehicle import Array
from snn_sim.batched.dynamics import Airframe, Four, add, read3, read4, squared
from snn_sim.batched.layout import (
    BODY_RATES,
    COMMAND,
    CRASH_DISTANCE,
    CRASHED,
    HOVER_THROTTLE,
    LANES,
    POSITION,
    QUATERNION,
    REFERENCE_POSITION,
    REFERENCE_VELOCITY,
    REWARD,
    REWARD_ATTITUDE,
    REWARD_POSITION,
    REWARD_SURVIVAL,
    REWARD_THROTTLE,
    REWARD_VELOCITY,
    VELOCITY,
)
from snn_sim.batched.scalar_math import angle_between_axes, clamp, inlined


@inlined
def squared_euler_angles(q: Four) -> float:
    """Return roll^2 + pitch^2 + yaw^2 in rad^2 (ZYX order) of a quaternion of length one."""
    x, y, z, w = q
    sine = clamp(2.0 * (y * w - x * z), -1.0, 1.0)
    roll = angle_between_axes(2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y))
    pitch = angle_between_axes(sine, math.sqrt(1.0 - sine * sine))
    yaw = angle_between_axes(2.0 * (x * y + z * w), 1.0 - 2.0 * (y * y + z * z))
    return roll * roll + pitch * pitch + yaw * yaw


@inlined
def command_cost(tile: Array, lane: int, hover: float) -> float:
    """Return the squared distance of the command from hover."""
    a, b, c, d = read4(tile, COMMAND, lane)
    a, b, c, d = a - hover, b - hover, c - hover, d - hover
    return a * a + b * b + c * c + d * d


@inlined
def judge(
    tile: Array,
    lane: int,
    airframe: Airframe,
    coefficients: tuple[float, ...],
    rules: tuple[float, ...],
) -> None:
    """Write the reward of the state reached, and whether it is a crash."""
    p = add(read3(tile, POSITION, lane), -1.0, read3(tile, REFERENCE_POSITION, lane))
    v = add(read3(tile, VELOCITY, lane), -1.0, read3(tile, REFERENCE_VELOCITY, lane))
    q, w = read4(tile, QUATERNION, lane), read3(tile, BODY_RATES, lane)
    tile[REWARD * LANES + lane] = (
        coefficients[REWARD_SURVIVAL]
        - coefficients[REWARD_POSITION] * squared(p)
        - coefficients[REWARD_VELOCITY] * squared(v)
        - coefficients[REWARD_ATTITUDE] * squared_euler_angles(q)
        - coefficients[REWARD_THROTTLE] * command_cost(tile, lane, airframe[HOVER_THROTTLE])
    )
    far = max(math.fabs(p[0]), math.fabs(p[1]), math.fabs(p[2]))
    inside = 1.0 if far <= rules[CRASH_DISTANCE] else 0.0
    size = squared(p) + squared(v) + squared(w) + q[0] + q[1] + q[2] + q[3]
    finite = 1.0 if size - size == 0.0 else 0.0
    tile[CRASHED * LANES + lane] = 1.0 - inside * finite
