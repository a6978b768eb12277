"""Odometry from where the vehicle stood and headed before it was armed. Pure but for memory.

An autopilot's estimate begins anywhere: at a height that drifts by decimetres and with any heading.
Flights are planned from the ground at the origin, heading along x. So the frame follows a vehicle
that stands, but not one that is carried about: the guards hold how it moves against its velocity.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snn_controller.frames import Array, multiply_quaternions, roll_pitch_yaw
from snn_controller.state import Odometry, State

REST_SPEED = 0.2  # m/s, more than an estimate's noise
REST_RATE = 0.2  # rad/s
REST_TIME = 300_000_000  # ns of rest after which the frame follows


class StartFrame:
    """Moves and turns odometry into the frame of the start, which follows the vehicle till then."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._origin = np.zeros(3)
        self._heading = np.array([0.0, 0.0, 0.0, 1.0])  # of the start, undone
        self._turn = np.eye(3)
        self._is_set = False
        self._rests_since: int | None = None  # ns

    def tell(self, odometry: Odometry, *, on_start: bool) -> Odometry:
        """Return odometry in the frame of the start, which a resting vehicle sets `on_start`."""
        state = odometry.state
        if not state.is_finite() or not state.quaternion.any():
            return odometry  # for the guards to refuse
        rests = self._rests(state, odometry.stamp)
        if on_start and (rests or not self._is_set):
            self._start(state)
        moved = State(
            self._turn @ (state.position - self._origin),
            multiply_quaternions(self._heading, state.quaternion),
            self._turn @ state.velocity,
            state.body_rates,
        )
        return replace(odometry, state=moved)

    def _rests(self, state: State, stamp: int) -> bool:
        """Whether the vehicle has stood still for a while."""
        speed, rate = np.abs(state.velocity).max(), np.abs(state.body_rates).max()
        if speed > REST_SPEED or rate > REST_RATE:
            self._rests_since = None
            return False
        self._rests_since = stamp if self._rests_since is None else self._rests_since
        return stamp - self._rests_since >= REST_TIME

    def _start(self, state: State) -> None:
        self._is_set = True
        yaw = -float(roll_pitch_yaw(state.rotation)[2])
        self._origin = state.position
        self._heading = np.array([0.0, 0.0, math.sin(yaw / 2.0), math.cos(yaw / 2.0)])
        self._turn = _turn_about_z(yaw)


def _turn_about_z(angle: float) -> Array:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
