"""What is flown to: references at rest or along a track, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from snn_controller.vehicle import Array, Reference


@dataclass(frozen=True)
class EpisodeConfig:
    """What the episodes of a roll-out look like."""

    ticks: int = 300
    """Control ticks of an episode."""
    starts: tuple[str, ...] = ("standard", "hard", "hover")
    """Start distributions, drawn with equal chance."""
    moving_share: float = 0.4
    """Share of episodes whose reference moves along sines."""
    step_share: float = 0.2
    """Share of episodes whose reference jumps once."""
    max_reference_acceleration: float = 3.0
    """Largest acceleration in m/s^2 of a moving reference, per axis."""
    max_step: float = 1.0
    """Longest jump in m of the reference, per axis."""


class References(NamedTuple):
    """One moving point per drone: sines on each axis, and one jump."""

    amplitude: Array  # (drones, 3) m
    frequency: Array  # (drones, 3) rad/s
    phase: Array  # (drones, 3) rad
    jump: Array  # (drones, 3) m
    jump_time: Array  # (drones, 1) s

    def at(self, time: float | Array) -> Reference:
        """Return the references of all drones at a time in s, one or each its own (drones, 1)."""
        phase = self.frequency * time + self.phase
        position = self.amplitude * (np.sin(phase) - np.sin(self.phase))
        velocity = self.amplitude * self.frequency * np.cos(phase)
        return Reference(position + np.where(time >= self.jump_time, self.jump, 0.0), velocity)


def draw_references(
    count: int, config: EpisodeConfig, period: float, rng: np.random.Generator
) -> References:
    """Draw the references of episodes; a control period in s gives the jumps their time."""
    kind = rng.uniform(size=(count, 1))
    moving = kind < config.moving_share
    jumping = (kind >= config.moving_share) & (kind < config.moving_share + config.step_share)
    frequency = 2.0 * np.pi / rng.uniform(2.5, 12.0, (count, 3))
    acceleration = rng.uniform(0.0, config.max_reference_acceleration, (count, 3))
    amplitude = np.minimum(acceleration / frequency**2, 1.5)
    amplitude[:, 2] *= rng.uniform(size=count) < 0.5  # level tracks are the common case
    return References(
        amplitude=np.where(moving, amplitude, 0.0),
        frequency=frequency,
        phase=rng.uniform(0.0, 2.0 * np.pi, (count, 3)),
        jump=np.where(jumping, rng.uniform(-config.max_step, config.max_step, (count, 3)), 0.0),
        jump_time=rng.uniform(0.2, 0.5, (count, 1)) * config.ticks * period,
    )
