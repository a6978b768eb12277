"""A double of Crazyflie firmware."""

from snn_sim.doubles.crazyflie import crtp
from snn_sim.doubles.crazyflie.lockstep import START, advance, connect_lockstep
from snn_sim.doubles.crazyflie.supervisor import Phase

__all__ = [
    "START",
    "Phase",
    "advance",
    "connect_lockstep",
    "crtp",
]
