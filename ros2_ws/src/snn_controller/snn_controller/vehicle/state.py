"""What is known of a drone at one instant, and where it should be. World ENU, body FLU, SI."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

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
