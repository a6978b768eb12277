"""A double of PX4, by MAVLink and by uXRCE-DDS."""

from snn_sim.doubles.px4 import firmware
from snn_sim.doubles.px4.dds_vehicle import Px4Stub
from snn_sim.doubles.px4.firmware import Px4Body, Px4Firmware, Px4Mode
from snn_sim.doubles.px4.lockstep import START, Lockstep
from snn_sim.doubles.px4.mavlink_vehicle import SYSTEM

__all__ = [
    "START",
    "SYSTEM",
    "Lockstep",
    "Px4Body",
    "Px4Firmware",
    "Px4Mode",
    "Px4Stub",
    "firmware",
]
