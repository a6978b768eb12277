"""The batched simulator: thousands of drones at once, compiled."""

from snn_sim.batched.batch import DroneBatch

__all__ = [
    "DroneBatch",
]
