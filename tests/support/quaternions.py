"""Quaternions of any length but none, for property tests; the other convention by matrices."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

quaternions = arrays(np.float64, 4, elements=st.floats(-1.0, 1.0)).filter(
    lambda q: np.linalg.norm(q) > 0.1
)


def swap_attitude_convention(rotation: np.ndarray) -> np.ndarray:
    """Convert attitudes (..., 3, 3) from FLU-to-ENU to FRD-to-NED, or back."""
    enu_ned = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    return enu_ned @ rotation @ np.diag([1.0, -1.0, -1.0])
