"""A double of Crazyflie firmware."""

from snn_sim.doubles.crazyflie import crtp
from snn_sim.doubles.crazyflie.firmware import Phase
from snn_sim.doubles.crazyflie.lockstep import START, advance, connect_lockstep

__all__ = [
    "START",
    "Phase",
    "advance",
    "connect_lockstep",
    "crtp",
]
