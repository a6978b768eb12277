"""Rotations and frames. World ENU, body FLU (REP-103), quaternions xyzw, matrices body to world.

All functions accept leading batch dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_controller.parameter import setting

Array = NDArray[np.float64]

GRAVITY = 9.81  # m/s^2

# ENU <-> NED swaps x and y and negates z; FLU <-> FRD negates y and z. Both undo themselves.
_ENU_NED = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
_FLU_FRD = np.diag([1.0, -1.0, -1.0])


def quaternion_to_matrix(quaternion: ArrayLike) -> Array:
    """Turn quaternions (..., 4) xyzw into rotation matrices (..., 3, 3), body to world.

    The quaternion is normalised first, so drift of its length does not scale the matrix.
    """
    q = np.asarray(quaternion, dtype=np.float64)
    # One quaternion is computed in plain floats: in flight that is ten times as fast as on arrays.
    x, y, z, w = q.tolist() if q.ndim == 1 else np.moveaxis(q, -1, 0)
    s = 2.0 / (x * x + y * y + z * z + w * w)
    rows = (
        (1.0 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)),
        (s * (x * y + z * w), 1.0 - s * (x * x + z * z), s * (y * z - x * w)),
        (s * (x * z - y * w), s * (y * z + x * w), 1.0 - s * (x * x + y * y)),
    )
    matrix = np.array(rows)  # (3, 3, ...)
    return matrix if q.ndim == 1 else np.moveaxis(matrix, (0, 1), (-2, -1))


def axis_angle_to_quaternion(axis: ArrayLike, angle: ArrayLike) -> Array:
    """Turn unit axes (..., 3) and angles (...) in rad into quaternions (..., 4) xyzw."""
    half = 0.5 * np.asarray(angle, dtype=np.float64)[..., None]
    return np.concatenate([np.sin(half) * np.asarray(axis), np.cos(half)], axis=-1)


def multiply_quaternions(left: ArrayLike, right: ArrayLike) -> Array:
    """Compose rotations: the result turns by `right` first, then by `left`. Both (..., 4) xyzw."""
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    vector = a[..., 3:] * b[..., :3] + b[..., 3:] * a[..., :3] + np.cross(a[..., :3], b[..., :3])
    scalar = a[..., 3:] * b[..., 3:] - np.sum(a[..., :3] * b[..., :3], axis=-1, keepdims=True)
    return np.concatenate([vector, scalar], axis=-1)


def roll_pitch_yaw(rotation: ArrayLike) -> Array:
    """Return roll, pitch, yaw (..., 3) in rad (ZYX order) of matrices (..., 3, 3)."""
    r = np.asarray(rotation, dtype=np.float64)
    if r.ndim == 2:  # one matrix in plain floats, as above
        sine = min(max(-r[2, 0].item(), -1.0), 1.0)
        (xx, _, _), (yx, _, _), (_, zy, zz) = r.tolist()
        return np.array([math.atan2(zy, zz), math.asin(sine), math.atan2(yx, xx)])
    roll = np.arctan2(r[..., 2, 1], r[..., 2, 2])
    pitch = np.arcsin(np.clip(-r[..., 2, 0], -1.0, 1.0))
    yaw = np.arctan2(r[..., 1, 0], r[..., 0, 0])
    return np.stack([roll, pitch, yaw], axis=-1)


def tilt_angle(rotation: ArrayLike) -> Array:
    """Return the angle in rad between the body's z axis and the world's, from (..., 3, 3)."""
    cosine = np.asarray(rotation, dtype=np.float64)[..., 2, 2]
    if cosine.ndim == 0:  # one matrix in plain floats
        return np.array(math.acos(min(max(cosine.item(), -1.0), 1.0)))
    return np.arccos(np.clip(cosine, -1.0, 1.0))


def turn_between(first: ArrayLike, second: ArrayLike) -> float:
    """Return the angle in rad between two attitudes, quaternions (4,) xyzw of length near 1."""
    a, b = np.asarray(first, dtype=np.float64).tolist(), np.asarray(second).tolist()
    cosine = abs(sum(x * y for x, y in zip(a, b, strict=True)))
    cosine /= math.hypot(*a) * math.hypot(*b)
    return 2.0 * math.acos(min(cosine, 1.0))


def swap_enu_ned(vector: ArrayLike) -> Array:
    """Convert world vectors (..., 3) from ENU to NED, or back."""
    return np.asarray(vector, dtype=np.float64) @ _ENU_NED.T


def swap_flu_frd(vector: ArrayLike) -> Array:
    """Convert body vectors (..., 3) from FLU to FRD, or back."""
    return np.asarray(vector, dtype=np.float64) @ _FLU_FRD.T


# The rotations NED to ENU and FRD to FLU as quaternions xyzw: half turns about (1, 1, 0) and x.
_NED_TO_ENU = np.array([math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0])
_FRD_TO_FLU = np.array([1.0, 0.0, 0.0, 0.0])


def swap_quaternion_convention(quaternion: ArrayLike) -> Array:
    """Convert attitudes (..., 4) xyzw from FLU-to-ENU to FRD-to-NED, or back; lengths are kept.

    The sign may differ after there and back, which is the same attitude.
    """
    return multiply_quaternions(multiply_quaternions(_NED_TO_ENU, quaternion), _FRD_TO_FLU)


@dataclass(frozen=True)
class FrameNames:
    """Frames that odometry comes in; controller and simulator must agree on them."""

    world_frame: str = setting("odom", "frame of the odometry's pose (ENU)")
    body_frame: str = setting("base_link", "frame of the odometry's twist (FLU)")
