"""Implicit Q-learning on datasets."""
