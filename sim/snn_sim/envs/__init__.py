"""Drones for learners: Gymnasium environments, batches, rate control between policy and rotors."""

from snn_sim.envs.batch import Drones, Simulator
from snn_sim.envs.joined import JoinedDrones
from snn_sim.envs.make import make_drones
from snn_sim.envs.rate_control import action_from_thrust
from snn_sim.envs.rate_variation import MAX_DELAY, RateLoops, RateVariation, draw_loops, same_loops

__all__ = [
    "MAX_DELAY",
    "Drones",
    "JoinedDrones",
    "RateLoops",
    "RateVariation",
    "Simulator",
    "action_from_thrust",
    "draw_loops",
    "make_drones",
    "same_loops",
]
