"""Collective thrust to an autopilot's throttle, from what hovering takes. SI units."""

from __future__ import annotations

import math

from snn_controller.vehicle import GRAVITY, Odometry

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
