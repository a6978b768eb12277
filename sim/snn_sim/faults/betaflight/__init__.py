"""Faults of flights behind the real Betaflight firmware."""
