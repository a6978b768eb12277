"""A network in training as a pilot of many drones, and how it scores on validation starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle import OBSERVATION_SIZE, ActionKind, Quadrotor
from snn_sim.envs import make_drones
from snn_sim.task import CONTROL_RATE
from snn_training.networks import Network, numpy_stepper
from snn_training.rollouts.collector import validate

VALIDATION_SEED = 2**40  # added to the seed, so that no validation start was ever trained on
VALIDATION_EPISODES = 200

# Maps observations (drones, 18) to actions (drones, 4).
NetworkPilot = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def network_pilot(policy: Network, count: int) -> NetworkPilot:
    """Return a pilot of a number of drones: the policy as it is now, from reset neurons."""
    step = numpy_stepper(policy)
    states: tuple[Any, ...] = tuple(x.cpu().numpy() for x in policy.initial_states(count))

    def fly(observations: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal states
        action, states, _ = step(observations, states)
        return action

    return fly


def validate_network(
    policy: Network,
    quadrotor: Quadrotor,
    *,
    seed: int,
    episodes: int = VALIDATION_EPISODES,
    action_kind: ActionKind = "motors",
) -> dict[str, Any]:
    """Return the scores of standard starts on the batched twin, the same ones for a seed.

    A score without a meaning is empty, as the log wants it. There are none for a policy of another
    control rate than the twin's.
    """
    if policy.config.control_rate != CONTROL_RATE:
        return {}
    fly = network_pilot(policy, episodes)
    drones = make_drones(
        "batched",
        quadrotor,
        episodes,
        action_kind=action_kind,
        starts=("standard",),
        seed=VALIDATION_SEED + seed,
    )
    scores = validate(drones, lambda inputs: fly(inputs[:, :OBSERVATION_SIZE]))
    return {name: float(f"{x:.4g}") if np.isfinite(x) else "" for name, x in scores.items()}
