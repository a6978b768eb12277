"""What a link makes of its vehicle's estimate: frame of the start, and the lift that it shows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.flight_controllers.shared.throttle import LiftEstimate, throttle_from_thrust
from snn_controller.vehicle import Array, Odometry, State, multiply_quaternions, roll_pitch_yaw

REST_SPEED = 0.2  # m/s, more than an estimate's noise
REST_RATE = 0.2  # rad/s
REST_TIME = 300_000_000  # ns of rest after which the frame follows
RESET_PAUSE = 1_000_000_000  # ns between resets that are believed: sick estimators reset on and on
RESET_GAP = 100_000_000  # ns between two samples over which a vehicle flies straight on


class StartFrame:
    """Moves and turns odometry into the frame of the start, which follows the vehicle till then."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._origin = np.zeros(3)
        self._heading = np.array([0.0, 0.0, 0.0, 1.0])  # of the start, undone
        self._turn = np.eye(3)
        self._is_set = False
        self._rests_since: int | None = None  # ns
        self._before: Odometry | None = None  # as told
        self._reset_at: int | None = None  # ns

    def tell(self, odometry: Odometry, *, on_start: bool) -> Odometry:
        """Return odometry in the frame of the start, which a resting vehicle sets `on_start`."""
        state = odometry.state
        if not state.is_finite() or not state.quaternion.any():
            return odometry  # for the guards to refuse
        rests = self._rests(state, odometry.stamp)
        if on_start and (rests or not self._is_set):
            self._start(state)
        elif self._is_set and self._was_reset(odometry):
            self._follow_reset(odometry)
        moved = State(
            self._turn @ (state.position - self._origin),
            multiply_quaternions(self._heading, state.quaternion),
            self._turn @ state.velocity,
            state.body_rates,
        )
        self._before = replace(odometry, state=moved)
        return self._before

    def _rests(self, state: State, stamp: int) -> bool:
        """Whether the vehicle has stood still for a while."""
        speed, rate = np.abs(state.velocity).max(), np.abs(state.body_rates).max()
        if speed > REST_SPEED or rate > REST_RATE:
            self._rests_since = None
            return False
        self._rests_since = stamp if self._rests_since is None else self._rests_since
        return stamp - self._rests_since >= REST_TIME

    def _was_reset(self, odometry: Odometry) -> bool:
        """Whether the estimator says that it has been reset since the sample before."""
        before, stamp = self._before, odometry.stamp
        if before is None or odometry.resets == before.resets:
            return False
        if not 0 <= stamp - before.stamp <= RESET_GAP:
            return False
        last, self._reset_at = self._reset_at, stamp
        return last is None or stamp - last > RESET_PAUSE

    def _follow_reset(self, odometry: Odometry) -> None:
        """Move and turn the frame so that the vehicle goes on as it flew."""
        before = self._before
        assert before is not None
        state = odometry.state
        self._face(_yaw(before.state) - _yaw(state))
        seconds = (odometry.stamp - before.stamp) * 1e-9
        place = before.state.position + seconds * before.state.velocity
        self._origin = state.position - self._turn.T @ place

    def _start(self, state: State) -> None:
        self._is_set = True
        self._origin = state.position
        self._face(-_yaw(state))

    def _face(self, yaw: float) -> None:
        """Turn all that is told by an angle in rad about the vertical."""
        self._heading = np.array([0.0, 0.0, math.sin(yaw / 2.0), math.cos(yaw / 2.0)])
        self._turn = _turn_about_z(yaw)


def _yaw(state: State) -> float:
    return float(roll_pitch_yaw(state.rotation)[2])


def _turn_about_z(angle: float) -> Array:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


class OwnEstimate:
    """Odometry on its way to the node, and throttle on its way to the vehicle."""

    def __init__(self, options: LinkOptions) -> None:
        """Take from the options what is to be done."""
        self._options = options
        self._frame = StartFrame()
        self._lift = LiftEstimate()
        self._has_started = False

    def start(self) -> None:
        """Keep the frame from now on, and trust the parameters anew."""
        self._has_started = True
        self._lift = LiftEstimate()

    def tell(self, odometry: Odometry, *, flying: bool, armed: bool) -> Odometry:
        """Return odometry for the node.

        Args:
            odometry: As the vehicle tells it, in ENU and FLU.
            flying: Whether the vehicle obeys our commands.
            armed: Whether its motors may turn; before, it stands where the flight will start.
        """
        if self._options.start_frame:
            on_start = not self._has_started and not armed
            odometry = self._frame.tell(odometry, on_start=on_start)
        if self._options.lift_estimation and odometry.state.is_finite():
            self._lift.learn(odometry, flying=flying)
        return odometry

    def throttle(self, thrust: float) -> float:
        """Return the throttle in [0, 1] for a mass-normalised thrust in m/s^2."""
        self._lift.note_command(thrust)
        options = self._options
        corrected = thrust * self._lift.factor
        return throttle_from_thrust(corrected, options.hover_thrust, options.thrust_curve)
