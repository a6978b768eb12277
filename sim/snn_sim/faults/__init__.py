"""The fault campaign: flights in which something breaks; it stays in the repository."""
