"""Drones for learners: Gymnasium environments, batches, rate control between policy and rotors."""

from snn_sim.envs.drones import ConcatenatedDrones, Drones, Simulator
from snn_sim.envs.make import make_drones
from snn_sim.envs.rate_control import (
    MAX_DELAY,
    RateLoops,
    RateVariation,
    action_from_thrust,
    draw_loops,
    same_loops,
)

__all__ = [
    "MAX_DELAY",
    "ConcatenatedDrones",
    "Drones",
    "RateLoops",
    "RateVariation",
    "Simulator",
    "action_from_thrust",
    "draw_loops",
    "make_drones",
    "same_loops",
]
