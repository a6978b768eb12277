"""Simulated quadrotors: one in PyBullet, thousands compiled, environments, firmware in the loop."""
