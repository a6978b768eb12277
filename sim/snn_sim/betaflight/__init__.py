"""The real Betaflight firmware in the loop, and the body that it flies."""

from snn_sim.betaflight.firmware import obtain_firmware
from snn_sim.betaflight.plant import Plant, Snapshot, read_snapshot
from snn_sim.betaflight.sitl import ENDPOINT, BetaflightSitl

__all__ = [
    "ENDPOINT",
    "BetaflightSitl",
    "Plant",
    "Snapshot",
    "obtain_firmware",
    "read_snapshot",
]
