"""States as autopilots tell them, in NED and FRD, to the core's ENU and FLU. Pure, SI units.

Numbers that are not finite pass through: the guards judge them, with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from snn_controller.vehicle import (
    State,
    quaternion_to_matrix,
    swap_enu_ned,
    swap_flu_frd,
    swap_quaternion_convention,
)


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
