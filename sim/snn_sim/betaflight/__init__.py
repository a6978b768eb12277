"""The real Betaflight firmware in the loop, and the body that it flies."""

from snn_sim.betaflight.plant import Plant, Snapshot, read_snapshot
from snn_sim.betaflight.sitl import ENDPOINT, BetaflightSitl, obtain_firmware

__all__ = [
    "ENDPOINT",
    "BetaflightSitl",
    "Plant",
    "Snapshot",
    "obtain_firmware",
    "read_snapshot",
]
