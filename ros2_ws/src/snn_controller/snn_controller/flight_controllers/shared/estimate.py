"""What a link makes of its vehicle's estimate: clock, axes, frame of the start, and lift.

A vehicle's stamps become times of the node, in ns; states in NED and FRD become the core's ENU and
FLU; collective thrust becomes an autopilot's throttle, from what hovering takes. SI units. Numbers
that are not finite pass through: the guards judge them, with a sentence.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.vehicle import (
    GRAVITY,
    Array,
    Odometry,
    State,
    multiply_quaternions,
    quaternion_to_matrix,
    roll_pitch_yaw,
    swap_enu_ned,
    swap_flu_frd,
    swap_quaternion_convention,
)

# Round trips that are remembered, of which the quickest counts: few, because a simulator that is
# too slow for real time has a clock that runs away.
SAMPLES = 8
RESTART = 1_000_000_000  # ns that a clock must go back to count as started anew


class VehicleClock:
    """Follows the vehicle's clock by TIMESYNC, or by the least late stamps where none answers."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._asked: int | None = None
        self._trips: deque[tuple[int, int]] = deque(maxlen=SAMPLES)  # (duration, offset)
        self._delays: deque[int] = deque(maxlen=SAMPLES * 32)  # ours minus the vehicle's
        self._newest = 0

    def ask(self, now: int) -> int:
        """Return the time to send in a TIMESYNC request."""
        self._asked = now
        return now

    def answer(self, vehicle: int, asked: int, now: int) -> None:
        """Take in an answer: the vehicle's time, and ours when we asked."""
        if asked != self._asked or vehicle <= 0:  # an answer to somebody else, or twice
            return
        self._asked = None
        duration = now - asked
        if duration >= 0:
            self._trips.append((duration, now - duration // 2 - vehicle))

    def to_node(self, stamp: int, now: int) -> int:
        """Return our time for a stamp of the vehicle's, never later than now."""
        if stamp < self._newest - RESTART:  # the vehicle has started anew
            self._trips.clear()
            self._delays.clear()
            self._newest = stamp
        self._newest = max(self._newest, stamp)
        self._delays.append(now - stamp)
        offset = min(self._trips)[1] if self._trips else min(self._delays)
        return min(stamp + offset, now)


def state_from_ned(
    position: Any, wxyz: Any, velocity: Any, body_rates: Any, *, velocity_in_body: bool
) -> State:
    """Return the state of a body FRD in a world NED.

    Args:
        position: (3,) in the world.
        wxyz: Quaternion (4,) in the order w, x, y, z.
        velocity: (3,) in the world, or in the body.
        body_rates: (3,) in the body.
        velocity_in_body: Where the velocity is.
    """
    w, x, y, z = wxyz
    quaternion = swap_quaternion_convention([x, y, z, w])
    if not velocity_in_body:
        velocity = swap_enu_ned(velocity)
    else:
        velocity = swap_flu_frd(velocity)
        if quaternion @ quaternion != 0.0:  # a zero quaternion is left for the guards to refuse
            velocity = quaternion_to_matrix(quaternion) @ velocity
    return State(swap_enu_ned(position), quaternion, velocity, swap_flu_frd(body_rates))


def largest_deviation(variances: Iterable[float]) -> float:
    """Return the largest standard deviation that is stated, 0 for none."""
    stated = [float(variance) for variance in variances if math.isfinite(variance)]
    return math.sqrt(max([*stated, 0.0]))


WINDOW = 0.25  # s over which velocities are compared: longer than the motors' lag
TIME_CONSTANT = 1.5  # s
RANGE = (0.6, 1.6)  # of the correction
LEAST_COMMAND = 0.5 * GRAVITY  # m/s^2; weaker thrust tells little
LEAST_HEIGHT = 0.15  # m above the start, where the ground no longer carries
LEAST_UPRIGHT = 0.8  # cosine of the tilt
LONGEST_GAP = 0.1  # s between samples that still belong to one window


class LiftEstimate:
    """A factor on the commanded thrust that makes the vehicle accelerate as commanded."""

    def __init__(self) -> None:
        """Trust the parameters until the vehicle has flown."""
        self.factor = 1.0
        self._command: float | None = None  # m/s^2, in force since the last sample
        self._forget()

    def note_command(self, thrust: float) -> None:
        """Keep the mass-normalised thrust in m/s^2 that was asked for, before the factor."""
        self._command = thrust

    def learn(self, odometry: Odometry, *, flying: bool) -> None:
        """Compare a sample with the commands since the one before; `flying` is under control."""
        state, command = odometry.state, self._command
        upright = float(state.rotation[2, 2])
        height, climb = float(state.position[2]), float(state.velocity[2])
        useful = flying and height > LEAST_HEIGHT and upright > LEAST_UPRIGHT
        gap = (odometry.stamp - self._stamp) * 1e-9 if self._stamp else 0.0
        if not useful or command is None or command < LEAST_COMMAND or gap > LONGEST_GAP:
            self._forget()
            return
        if self._stamp == 0:
            self._climb = climb
        self._stamp = odometry.stamp
        self._seconds += max(gap, 0.0)
        self._asked += max(gap, 0.0) * command * upright
        if self._seconds >= WINDOW:
            self._correct((climb - self._climb + GRAVITY * self._seconds) / self._asked)
            self._seconds, self._asked, self._climb = 0.0, 0.0, climb

    def _correct(self, ratio: float) -> None:
        share = min(self._seconds / TIME_CONSTANT, 1.0)
        wanted = self.factor * max(ratio, 0.1) ** -share
        self.factor = min(max(wanted, RANGE[0]), RANGE[1])

    def _forget(self) -> None:
        self._stamp = 0
        self._seconds = self._asked = self._climb = 0.0


def throttle_from_thrust(acceleration: float, hover_thrust: float, curve: float = 0.0) -> float:
    """Return the throttle in [0, 1] for a mass-normalised thrust in m/s^2.

    Thrust over throttle u is taken to be f u^2 + (1 - f) u up to a factor, which is PX4's
    THR_MDL_FAC: leave `curve` at 0 where the autopilot makes its throttle linear itself.

    Args:
        acceleration: Collective thrust by mass.
        hover_thrust: Throttle that carries the weight.
        curve: f, from 0 (linear) to 1 (square).
    """
    at_hover = curve * hover_thrust**2 + (1.0 - curve) * hover_thrust
    wanted = max(acceleration, 0.0) / GRAVITY * at_hover
    linear = 1.0 - curve
    # The quadratic formula in the form that is also good for a curve near or at 0.
    bottom = linear + math.sqrt(linear**2 + 4.0 * curve * wanted)
    return min(2.0 * wanted / bottom, 1.0) if bottom > 0.0 else 0.0


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
