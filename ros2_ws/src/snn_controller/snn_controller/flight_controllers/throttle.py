"""Collective thrust to an autopilot's throttle, from what hovering takes. SI units."""

from __future__ import annotations

import math

from snn_controller.frames import GRAVITY


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
