"""Drones in PyBullet."""

from snn_sim.bullet.batch import LARGEST_BATCH, BulletBatch
from snn_sim.bullet.drone import PHYSICS_RATE, DisturbedDrone, Drone, camera_image
from snn_sim.bullet.world import Simulation

__all__ = [
    "LARGEST_BATCH",
    "PHYSICS_RATE",
    "BulletBatch",
    "DisturbedDrone",
    "Drone",
    "Simulation",
    "camera_image",
]
