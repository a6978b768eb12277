"""The rules of an episode, the same in training and in the fixed test: cap and crash box."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import Reference, State

CONTROL_RATE = 100.0  # Hz


def check_batch(
    *, count: int, starts: int, seed: int, steps: int, control_rate: float, history: int
) -> None:
    """Refuse an impossible batch of drones.

    Raises:
        UserError: A number is out of range.
    """
    sizes_are_good = min(count, starts, steps) >= 1 and history >= 0
    if not (sizes_are_good and control_rate > 0.0 and 0 <= seed < 2**63):
        raise UserError(
            "a batch needs at least one drone, one step and start, a positive control rate, a "
            "history of 0 steps or more and a seed of at least 0 and below 2^63"
        )


def numbers_of(drones: ArrayLike, count: int) -> NDArray[np.int64]:
    """Return the numbers of drones that are given as a mask (count,) or by their numbers.

    Raises:
        UserError: The mask has another shape, or there is no drone of a number.
    """
    chosen = np.asarray(drones)
    if chosen.dtype == np.bool_ and chosen.shape == (count,):
        chosen = np.flatnonzero(chosen)
    if chosen.dtype == np.bool_ or not np.all((chosen >= 0) & (chosen < count)):
        raise UserError(
            f"choose drones by a mask of the shape {(count,)} or by numbers from 0 to {count - 1}"
        )
    return chosen.astype(np.int64)


def check_actions(actions: NDArray[np.floating], count: int) -> None:
    """Refuse actions that are not one for each drone.

    Raises:
        UserError: The actions have another shape than (count, 4).
    """
    if np.shape(actions) != (count, 4):
        raise UserError(f"actions must have the shape {(count, 4)}, not {np.shape(actions)}")


CRASH_DISTANCE = 0.6  # m from the reference on any axis
EPISODE_STEPS = 500


def has_crashed(state: State, reference: Reference, *, distance: float = CRASH_DISTANCE) -> bool:
    """Whether one drone is outside the box around the reference, or not finite."""
    inside = all(abs(x) <= distance for x in (state.position - reference.position).tolist())
    return not (inside and state.is_finite())
