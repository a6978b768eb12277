"""Odometry from where the vehicle stood and headed before it was armed. Pure but for memory.

An autopilot's estimate begins anywhere: at a height that drifts by decimetres and with any heading.
Flights are planned from the ground at the origin, heading along x.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snn_controller.frames import Array, multiply_quaternions, roll_pitch_yaw
from snn_controller.state import Odometry, State


class StartFrame:
    """Moves and turns odometry into the frame of the start; follows the vehicle until then."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._origin = np.zeros(3)
        self._heading = np.array([0.0, 0.0, 0.0, 1.0])  # of the start, undone
        self._turn = np.eye(3)

    def tell(self, odometry: Odometry, *, on_start: bool) -> Odometry:
        """Return odometry in the frame of the start, which is here and now while `on_start`."""
        state = odometry.state
        if not state.is_finite() or not state.quaternion.any():
            return odometry  # for the guards to refuse
        if on_start:
            self._start(state)
        moved = State(
            self._turn @ (state.position - self._origin),
            multiply_quaternions(self._heading, state.quaternion),
            self._turn @ state.velocity,
            state.body_rates,
        )
        return replace(odometry, state=moved)

    def _start(self, state: State) -> None:
        yaw = -float(roll_pitch_yaw(state.rotation)[2])
        self._origin = state.position
        self._heading = np.array([0.0, 0.0, math.sin(yaw / 2.0), math.cos(yaw / 2.0)])
        self._turn = _turn_about_z(yaw)


def _turn_about_z(angle: float) -> Array:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
