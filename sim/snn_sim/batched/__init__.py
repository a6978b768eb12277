"""The batched simulator: thousands of drones at once, compiled."""

from snn_sim.batched.batch import DroneBatch
from snn_sim.batched.scalar_math import compile_kept

__all__ = [
    "DroneBatch",
    "compile_kept",
]
