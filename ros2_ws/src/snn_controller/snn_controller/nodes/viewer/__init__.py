"""The parts of the viewer node."""
