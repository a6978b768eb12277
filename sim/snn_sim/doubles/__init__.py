"""Test doubles of firmware; they stay in the repository."""
