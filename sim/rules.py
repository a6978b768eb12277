"""The rules of an episode, the same in training and in the fixed test: cap and crash box."""

from __future__ import annotations

from snn_controller.state import Reference, State

CRASH_DISTANCE = 0.6  # m from the reference on any axis
EPISODE_STEPS = 500


def has_crashed(state: State, reference: Reference, *, distance: float = CRASH_DISTANCE) -> bool:
    """Whether one drone is outside the box around the reference, or not finite."""
    inside = all(abs(x) <= distance for x in (state.position - reference.position).tolist())
    return not (inside and state.is_finite())
