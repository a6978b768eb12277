"""What is known of a drone at one instant, and where it should be. World ENU, body FLU, SI.

Odometry is read from a `nav_msgs/Odometry` here, whoever decoded it: rclpy in flight, rosbags from
a bag. One definition, so that a replayed policy sees the very numbers that it saw in flight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from snn_controller.vehicle.frames import Array, quaternion_to_matrix


def _zeros() -> Array:
    return np.zeros(3)


@dataclass(frozen=True)
class State:
    """Rigid-body state of one drone, or of a batch with leading dimensions."""

    position: Array  # (..., 3) m, world
    quaternion: Array  # (..., 4) xyzw, body to world
    velocity: Array  # (..., 3) m/s, world
    body_rates: Array  # (..., 3) rad/s, body

    @cached_property
    def rotation(self) -> Array:
        """Rotation matrix (..., 3, 3), body to world."""
        return quaternion_to_matrix(self.quaternion)

    def is_finite(self) -> bool:
        """Whether every number is finite."""
        # A sum is finite only if its terms are, and one sum is far cheaper than asking each.
        parts = (self.position, self.quaternion, self.velocity, self.body_rates)
        if self.position.ndim == 1:  # one state in plain floats, three times as fast
            return math.isfinite(sum(sum(part.tolist()) for part in parts))
        return math.isfinite(sum(float(part.sum()) for part in parts))

    def same_place(self, other: State) -> bool:
        """Whether position and velocity of one drone are those of another state, bit by bit."""
        return (
            self.velocity.tolist() == other.velocity.tolist()
            and self.position.tolist() == other.position.tolist()
        )

    def same_attitude(self, other: State) -> bool:
        """Whether attitude and body rates of one drone are those of another state, bit by bit."""
        return (
            self.body_rates.tolist() == other.body_rates.tolist()
            and self.quaternion.tolist() == other.quaternion.tolist()
        )

    @staticmethod
    def at_rest(position: Array) -> State:
        """Return the level state at rest at a position (3,)."""
        return State(
            np.array(position, dtype=np.float64), np.array([0.0, 0.0, 0.0, 1.0]), _zeros(), _zeros()
        )


@dataclass(frozen=True)
class Reference:
    """Where the drone should be now, heading along world x."""

    position: Array  # (..., 3) m, world
    velocity: Array = field(default_factory=_zeros)  # (..., 3) m/s, world


@dataclass(frozen=True)
class Odometry:
    """One odometry sample as it arrived; `state.velocity` is already turned into the world."""

    stamp: int  # ns, of the sender's clock
    frame: str  # frame of the pose
    child_frame: str  # frame of the twist
    state: State
    position_deviation: float = 0.0  # m, largest standard deviation that is stated; 0 for none
    attitude_deviation: float = 0.0  # rad
    velocity_deviation: float = 0.0  # m/s
    specific_force: Array | None = None  # (3,) m/s^2, body, of an accelerometer where there is one
    resets: int = 0  # changes where the estimator says that it has moved or turned its frame


SHORTEST = 1e-6  # of a quaternion that can be divided by its length
_SECOND = 1_000_000_000


def stamp_to_ns(stamp: Any) -> int:
    """Return a `builtin_interfaces/Time` in ns."""
    return int(stamp.sec) * _SECOND + int(stamp.nanosec)


def odometry_from_message(message: Any) -> Odometry:
    """Read odometry; the twist, given in the child frame (REP-105), is turned into the world.

    A state that is not finite passes through: the guards judge it. Variances of NaN, and of zero
    all three, state nothing; one below zero says that there is no estimate.
    """
    pose, twist = message.pose.pose, message.twist.twist
    position, orientation = pose.position, pose.orientation
    quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    linear, angular = twist.linear, twist.angular
    velocity = np.array([linear.x, linear.y, linear.z])
    if quaternion @ quaternion > SHORTEST**2:  # what is no attitude is left to the guards
        velocity = quaternion_to_matrix(quaternion) @ velocity
    return Odometry(
        stamp=stamp_to_ns(message.header.stamp),
        frame=message.header.frame_id,
        child_frame=message.child_frame_id,
        state=State(
            np.array([position.x, position.y, position.z]),
            quaternion,
            velocity,
            np.array([angular.x, angular.y, angular.z]),
        ),
        position_deviation=_deviation(message.pose.covariance[0:15:7]),
        attitude_deviation=_deviation(message.pose.covariance[21:36:7]),
        velocity_deviation=_deviation(message.twist.covariance[0:15:7]),
    )


def _deviation(variances: Array) -> float:
    """Return the largest standard deviation that variances (3,) state, infinity below zero."""
    x, y, z = variances.tolist()
    if x == y == z == 0.0:
        return 0.0
    if math.isnan(x + y + z):  # seldom: each by itself, and zero in place of what is not stated
        x, y, z = (0.0 if math.isnan(variance) else variance for variance in (x, y, z))
    return math.sqrt(max(x, y, z)) if min(x, y, z) >= 0.0 else math.inf
