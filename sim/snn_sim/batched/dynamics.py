"""One control step of one lane: rotors exactly, the rigid body by RK4, reward and crash.

Everything is straight-line code on a block, so the compiler turns a loop over lanes into vector
instructions. Rotors follow their command with a first-order lag, whose solution is known; RK4 then
takes the thrusts at the start, the middle and the end of the step.
"""

from __future__ import annotations

import math

from snn_controller.vehicle import Array
from snn_sim.batched.layout import (
    BODY_RATES,
    COMMAND,
    CRASH_DISTANCE,
    CRASHED,
    CURVE_0,
    CURVE_1,
    CURVE_2,
    DECAY_DOWN,
    DECAY_UP,
    DELAY_SHARE,
    EARLIER_COMMAND,
    FORCE,
    GRAVITY,
    HOVER_THROTTLE,
    INERTIA,
    LANES,
    LAST_COMMAND,
    MASS,
    MIXER,
    PERIOD,
    POSITION,
    PUSH,
    PUSH_END,
    PUSH_START,
    QUATERNION,
    REFERENCE_POSITION,
    REFERENCE_VELOCITY,
    REWARD,
    REWARD_ATTITUDE,
    REWARD_PARTS,
    REWARD_POSITION,
    REWARD_SURVIVAL,
    REWARD_THROTTLE,
    REWARD_VELOCITY,
    ROTORS,
    STEPS,
    THRUST_SCALE,
    TORQUE,
    VELOCITY,
)
from snn_sim.batched.scalar_math import angle_between_axes, clamp, inlined

Vector = tuple[float, float, float]
Four = tuple[float, float, float, float]
Airframe = tuple[float, ...]  # as `layout` orders it
Slopes = tuple[Vector, Four, Vector]
# Thrust scale, 1 / mass, inertia, acceleration from outside, torque from outside.
Body = tuple[float, float, Vector, Vector, Vector]


@inlined
def read3(block: Array, row: int, lane: int) -> Vector:
    """Return three consecutive rows of a lane."""
    return (
        block[row * LANES + lane],
        block[(row + 1) * LANES + lane],
        block[(row + 2) * LANES + lane],
    )


@inlined
def read4(block: Array, row: int, lane: int) -> Four:
    """Return four consecutive rows of a lane."""
    x, y, z = read3(block, row, lane)
    return x, y, z, block[(row + 3) * LANES + lane]


@inlined
def write3(block: Array, row: int, lane: int, values: Vector) -> None:
    """Set three consecutive rows of a lane."""
    block[row * LANES + lane] = values[0]
    block[(row + 1) * LANES + lane] = values[1]
    block[(row + 2) * LANES + lane] = values[2]


@inlined
def write4(block: Array, row: int, lane: int, values: Four) -> None:
    """Set four consecutive rows of a lane."""
    write3(block, row, lane, (values[0], values[1], values[2]))
    block[(row + 3) * LANES + lane] = values[3]


@inlined
def add(one: Vector, scale: float, other: Vector) -> Vector:
    """Return one + scale * other."""
    return one[0] + scale * other[0], one[1] + scale * other[1], one[2] + scale * other[2]


@inlined
def add4(one: Four, scale: float, other: Four) -> Four:
    """Return one + scale * other."""
    x, y, z = add((one[0], one[1], one[2]), scale, (other[0], other[1], other[2]))
    return x, y, z, one[3] + scale * other[3]


@inlined
def rk4_mean(k1: Vector, k2: Vector, k3: Vector, k4: Vector) -> Vector:
    """Return the weighted mean of the four slopes of RK4."""
    return (
        (k1[0] + 2.0 * (k2[0] + k3[0]) + k4[0]) / 6.0,
        (k1[1] + 2.0 * (k2[1] + k3[1]) + k4[1]) / 6.0,
        (k1[2] + 2.0 * (k2[2] + k3[2]) + k4[2]) / 6.0,
    )


@inlined
def squared(vector: Vector) -> float:
    """Return the squared length of a vector."""
    return vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]


@inlined
def delayed_command(block: Array, lane: int) -> Four:
    """Return what the motors are told in this step: a mix of this and earlier commands."""
    now, last = read4(block, COMMAND, lane), read4(block, LAST_COMMAND, lane)
    earlier = read4(block, EARLIER_COMMAND, lane)
    share_now, share_last, share_earlier = read3(block, DELAY_SHARE, lane)
    zero = (0.0, 0.0, 0.0, 0.0)
    mixed = add4(add4(add4(zero, share_now, now), share_last, last), share_earlier, earlier)
    write4(block, EARLIER_COMMAND, lane, last)
    write4(block, LAST_COMMAND, lane, now)
    return mixed


@inlined
def lagged(rotor: float, command: float, up: float, down: float) -> float:
    """Return the rotor state after half a step."""
    return command + (rotor - command) * (up if command > rotor else down)


@inlined
def lagged4(rotors: Four, command: Four, up: float, down: float) -> Four:
    """Return the rotor states after half a step."""
    return (
        lagged(rotors[0], command[0], up, down),
        lagged(rotors[1], command[1], up, down),
        lagged(rotors[2], command[2], up, down),
        lagged(rotors[3], command[3], up, down),
    )


@inlined
def wrench(rotors: Four, scale: float, airframe: Airframe) -> Four:
    """Return the collective thrust in N and the body torque in N m of rotor states."""
    c0, c1, c2 = airframe[CURVE_0], airframe[CURVE_1], airframe[CURVE_2]
    a = scale * (c0 + rotors[0] * (c1 + rotors[0] * c2))
    b = scale * (c0 + rotors[1] * (c1 + rotors[1] * c2))
    c = scale * (c0 + rotors[2] * (c1 + rotors[2] * c2))
    d = scale * (c0 + rotors[3] * (c1 + rotors[3] * c2))
    m = MIXER
    return (
        a + b + c + d,
        a * airframe[m] + b * airframe[m + 1] + c * airframe[m + 2] + d * airframe[m + 3],
        a * airframe[m + 4] + b * airframe[m + 5] + c * airframe[m + 6] + d * airframe[m + 7],
        a * airframe[m + 8] + b * airframe[m + 9] + c * airframe[m + 10] + d * airframe[m + 11],
    )


@inlined
def acceleration(q: Four, lift: float, outer: Vector) -> Vector:
    """Return the acceleration in the world: lift along the body's z axis, and what acts outside.

    The quaternion is taken to be of length one.
    """
    x, y, z, w = q
    return (
        outer[0] + lift * 2.0 * (x * z + y * w),
        outer[1] + lift * 2.0 * (y * z - x * w),
        outer[2] + lift * (1.0 - 2.0 * (x * x + y * y)),
    )


@inlined
def attitude_rate(q: Four, rates: Vector) -> Four:
    """Return the derivative of the quaternion, q (rates, 0) / 2."""
    x, y, z, w = q
    a, b, c = 0.5 * rates[0], 0.5 * rates[1], 0.5 * rates[2]
    return (
        w * a + y * c - z * b,
        w * b + z * a - x * c,
        w * c + x * b - y * a,
        -(x * a + y * b + z * c),
    )


@inlined
def angular_acceleration(rates: Vector, torque: Vector, inertia: Vector) -> Vector:
    """Return the derivative of the body rates, with the gyroscopic term."""
    x, y, z = rates
    return (
        (torque[0] + (inertia[1] - inertia[2]) * y * z) / inertia[0],
        (torque[1] + (inertia[2] - inertia[0]) * z * x) / inertia[1],
        (torque[2] + (inertia[0] - inertia[1]) * x * y) / inertia[2],
    )


@inlined
def outer_acceleration(block: Array, lane: int, airframe: Airframe) -> Vector:
    """Return gravity, the constant force and the push as an acceleration."""
    steps = block[STEPS * LANES + lane]
    after_start = 1.0 if steps >= block[PUSH_START * LANES + lane] else 0.0
    before_end = 1.0 if steps < block[PUSH_END * LANES + lane] else 0.0
    push = read3(block, PUSH, lane)
    force = add(read3(block, FORCE, lane), after_start * before_end, push)
    gravity = (0.0, 0.0, -airframe[GRAVITY])
    return add(gravity, 1.0 / block[MASS * LANES + lane], force)


@inlined
def slopes(q: Four, rates: Vector, rotors: Four, body: Body, airframe: Airframe) -> Slopes:
    """Return the derivatives of velocity, attitude and body rates."""
    scale, inverse_mass, inertia, outer, torque = body
    lift, x, y, z = wrench(rotors, scale, airframe)
    return (
        acceleration(q, lift * inverse_mass, outer),
        attitude_rate(q, rates),
        angular_acceleration(rates, add((x, y, z), 1.0, torque), inertia),
    )


@inlined
def turn(q: Four, rates: Vector, dt: float, along: Slopes) -> tuple[Four, Vector]:
    """Return attitude and body rates a time later along given slopes."""
    return add4(q, dt, along[1]), add(rates, dt, along[2])


@inlined
def normalised(q: Four) -> Four:
    """Return the quaternion scaled to length one."""
    x, y, z, w = q
    shrink = 1.0 / math.sqrt(x * x + y * y + z * z + w * w)
    return x * shrink, y * shrink, z * shrink, w * shrink


@inlined
def body_of(block: Array, lane: int, airframe: Airframe) -> Body:
    """Return what does not change during a step."""
    return (
        block[THRUST_SCALE * LANES + lane],
        1.0 / block[MASS * LANES + lane],
        read3(block, INERTIA, lane),
        outer_acceleration(block, lane, airframe),
        read3(block, TORQUE, lane),
    )


@inlined
def advance_rotors(block: Array, lane: int) -> tuple[Four, Four, Four]:
    """Move the rotors and return their states at the start, the middle and the end of the step."""
    command = delayed_command(block, lane)
    up, down = block[DECAY_UP * LANES + lane], block[DECAY_DOWN * LANES + lane]
    start = read4(block, ROTORS, lane)
    middle = lagged4(start, command, up, down)
    end = lagged4(middle, command, up, down)
    write4(block, ROTORS, lane, end)
    return start, middle, end


@inlined
def advance(block: Array, lane: int, airframe: Airframe) -> None:
    """Advance one lane by one control step."""
    h = airframe[PERIOD]
    start, middle, end = advance_rotors(block, lane)
    body = body_of(block, lane, airframe)
    p, v = read3(block, POSITION, lane), read3(block, VELOCITY, lane)
    q, w = read4(block, QUATERNION, lane), read3(block, BODY_RATES, lane)

    k1 = slopes(q, w, start, body, airframe)
    q2, w2 = turn(q, w, 0.5 * h, k1)
    k2 = slopes(q2, w2, middle, body, airframe)
    q3, w3 = turn(q, w, 0.5 * h, k2)
    k3 = slopes(q3, w3, middle, body, airframe)
    q4, w4 = turn(q, w, h, k3)
    k4 = slopes(q4, w4, end, body, airframe)

    drift = add(add(k1[0], 1.0, k2[0]), 1.0, k3[0])
    write3(block, POSITION, lane, add(add(p, h, v), h * h / 6.0, drift))
    write3(block, VELOCITY, lane, add(v, h, rk4_mean(k1[0], k2[0], k3[0], k4[0])))
    write3(block, BODY_RATES, lane, add(w, h, rk4_mean(k1[2], k2[2], k3[2], k4[2])))
    spin = add4(add4(add4(k1[1], 2.0, k2[1]), 2.0, k3[1]), 1.0, k4[1])
    write4(block, QUATERNION, lane, normalised(add4(q, h / 6.0, spin)))
    block[STEPS * LANES + lane] += 1.0


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
def command_cost(block: Array, lane: int, hover: float) -> float:
    """Return the squared distance of the command from hover."""
    a, b, c, d = read4(block, COMMAND, lane)
    a, b, c, d = a - hover, b - hover, c - hover, d - hover
    return a * a + b * b + c * c + d * d


@inlined
def judge(
    block: Array,
    lane: int,
    airframe: Airframe,
    coefficients: tuple[float, ...],
    limits: tuple[float, ...],
) -> None:
    """Write the reward of the state reached, its parts, and whether it is a crash."""
    p = add(read3(block, POSITION, lane), -1.0, read3(block, REFERENCE_POSITION, lane))
    v = add(read3(block, VELOCITY, lane), -1.0, read3(block, REFERENCE_VELOCITY, lane))
    q, w = read4(block, QUATERNION, lane), read3(block, BODY_RATES, lane)
    far_off, fast, tilted = squared(p), squared(v), squared_euler_angles(q)
    effort = command_cost(block, lane, airframe[HOVER_THROTTLE])
    block[REWARD * LANES + lane] = (
        coefficients[REWARD_SURVIVAL]
        - coefficients[REWARD_POSITION] * far_off
        - coefficients[REWARD_VELOCITY] * fast
        - coefficients[REWARD_ATTITUDE] * tilted
        - coefficients[REWARD_THROTTLE] * effort
    )
    block[(REWARD_PARTS + REWARD_POSITION) * LANES + lane] = -far_off
    block[(REWARD_PARTS + REWARD_VELOCITY) * LANES + lane] = -fast
    block[(REWARD_PARTS + REWARD_THROTTLE) * LANES + lane] = -effort
    block[(REWARD_PARTS + REWARD_ATTITUDE) * LANES + lane] = -tilted
    block[(REWARD_PARTS + REWARD_SURVIVAL) * LANES + lane] = 1.0
    far = max(math.fabs(p[0]), math.fabs(p[1]), math.fabs(p[2]))
    inside = 1.0 if far <= limits[CRASH_DISTANCE] else 0.0
    size = squared(p) + squared(v) + squared(w) + q[0] + q[1] + q[2] + q[3]
    finite = 1.0 if size - size == 0.0 else 0.0
    block[CRASHED * LANES + lane] = 1.0 - inside * finite
