"""An episode in the form in which flights are judged and drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log import FlightColumns
from snn_controller.report import POLICY_MODE
from snn_controller.vehicle import Array, Reference
from snn_training.evaluation.pybullet import Episode


def episode_columns(
    episode: Episode,
    references: Reference,
    *,
    period: float,
    spikes: Mapping[str, NDArray[np.bool_]] | None = None,
) -> FlightColumns:
    """Return an episode of T steps, which the policy flew from its first step to its last.

    Args:
        episode: The episode.
        references: Batch (T,), or one for all steps.
        period: Seconds of a step.
        spikes: Layer -> (T, neurons), where they are known.
    """
    steps, states = len(episode.actions), episode.states
    return FlightColumns(
        time=step_times(steps, period),
        mode=np.full(steps, POLICY_MODE),
        verdict=np.full(steps, ""),
        position=states.position,
        quaternion=states.quaternion,
        velocity=states.velocity,
        body_rates=states.body_rates,
        reference_position=np.broadcast_to(references.position, (steps, 3)),
        reference_velocity=np.broadcast_to(references.velocity, (steps, 3)),
        command=episode.throttles,
        synaptic_ops=np.zeros(steps, np.int64),
        missed=np.zeros(steps, np.int64),
        network_ran=np.full(steps, bool(spikes)),
        spikes=dict(spikes or {}),
        membranes={},
    )


def step_times(steps: int, period: float) -> Array:
    """Return the time (steps,) in s at the end of each step."""
    return np.arange(1.0, steps + 1.0) * period
