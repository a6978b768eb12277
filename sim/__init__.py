"""The simulated world: one PyBullet drone, its Gymnasium environment and the reward."""
