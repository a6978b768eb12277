"""How a decision transformer flies the validation starts, for any target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE, Quadrotor
from snn_sim.envs import make_drones
from snn_training.networks.transformer import FlyingTransformer
from snn_training.rollouts import VALIDATION_SEED, validate

Inputs = NDArray[np.float32]


def validate_transformer(
    flying: FlyingTransformer,
    quadrotor: Quadrotor,
    *,
    seed: int,
    episodes: int,
    target: float | None = None,
) -> dict[str, Any]:
    """Return the scores of standard starts on the batched twin, the same ones for a seed.

    Args:
        flying: The network.
        quadrotor: Airframe.
        seed: Of the starts.
        episodes: Number of flights.
        target: Return to ask for; the network's own if None.
    """
    drones = make_drones(
        "batched", quadrotor, episodes, starts=("standard",), seed=VALIDATION_SEED + seed
    )
    scores = validate(drones, transformer_pilot(flying, episodes, target))
    drones.close()
    return {name: float(f"{x:.4g}") if np.isfinite(x) else "" for name, x in scores.items()}


def transformer_pilot(
    flying: FlyingTransformer, count: int, target: float | None = None
) -> Callable[[Inputs], Inputs]:
    """Return a pilot of a number of drones, from inputs (count, 146) with the actions flown."""
    states = flying.initial_states(count)
    asked = torch.full((count, 1), flying.conditioning.target if target is None else target)

    def fly(inputs: Inputs) -> Inputs:
        nonlocal states
        observations = torch.from_numpy(inputs[:, :OBSERVATION_SIZE].copy())
        flown = torch.from_numpy(inputs[:, -ACTION_SIZE:].copy())
        with torch.no_grad():
            actions, states, _ = flying(observations, flown, asked, states)
        return actions.numpy()

    return fly
