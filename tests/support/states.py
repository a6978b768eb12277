"""States and odometry that many tests begin with."""

from __future__ import annotations

import numpy as np

from snn_controller.vehicle import Odometry, State

TICK_NS = 10_000_000


def hovering(position: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> State:
    return State.at_rest(np.array(position))


def sample(state: State, stamp: int, frame: str = "odom", child: str = "base_link") -> Odometry:
    return Odometry(stamp, frame, child, state)
