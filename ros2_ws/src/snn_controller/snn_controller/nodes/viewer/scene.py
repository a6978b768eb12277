"""What a flight looks like in space: fence, frame, rotor thrusts, reference. ROS-free, world frame.

Lengths of thrust are in shares of the weight, so that hovering looks alike on every airframe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from snn_controller.safety import Mode
from snn_controller.vehicle import ActionKind, Array, Quadrotor, Reference, State

Kind = Literal["lines", "arrow", "sphere", "text"]
Colour = tuple[float, float, float, float]  # red, green, blue, opacity

HOVER_LENGTH = 0.15  # m of all arrows together where the thrust carries the weight
SLOW = 0.05  # m/s below which a moving reference has no arrow
VELOCITY_SCALE = 0.3  # m of arrow per m/s
LABEL_HEIGHT = 0.15  # m above the drone
SMALLEST_ARM = 0.04  # m, so that a small drone can be seen

GREY: Colour = (0.5, 0.53, 0.58, 0.6)
BLUE: Colour = (0.0, 0.45, 0.7, 1.0)
ORANGE: Colour = (0.9, 0.62, 0.0, 1.0)
GREEN: Colour = (0.0, 0.62, 0.45, 0.9)
RED: Colour = (0.77, 0.24, 0.0, 1.0)


@dataclass(frozen=True)
class Shape:
    """One thing to draw; the same name and number replaces it."""

    name: str
    number: int
    kind: Kind
    points: Array  # (n, 3) m, world; pairs for lines, from and to for an arrow
    colour: Colour
    size: float  # m: width of lines and arrows, diameter, height of letters
    text: str = ""


def fence(bounds: Sequence[float]) -> Shape:
    """Return the edges of the geofence, whose bounds are low and high of x, y and z in m."""
    box = np.array(bounds, dtype=np.float64).reshape(3, 2)
    corners = [np.array(corner) for corner in product((0, 1), repeat=3)]
    pairs = [(a, b) for a in corners for b in corners if (b - a).sum() == np.abs(b - a).sum() == 1]
    points = [box[range(3), corner] for pair in pairs for corner in pair]
    return Shape("geofence", 0, "lines", np.array(points), GREY, 0.01)


def drone(state: State, quadrotor: Quadrotor, mode: str) -> list[Shape]:
    """Return the arms of a drone and the name of its mode above it; nothing where it is unknown."""
    if not _is_placed(state):
        return []
    tips = _rotors(state, quadrotor)
    arms = np.stack([np.broadcast_to(state.position, (4, 3)), tips], axis=1).reshape(8, 3)
    colour = BLUE if mode == Mode.POLICY.value else RED
    above = state.position + np.array([0.0, 0.0, LABEL_HEIGHT])
    return [
        Shape("drone", 0, "lines", arms, colour, 0.012),
        Shape("mode", 0, "text", above[None], colour, 0.08, mode),
    ]


def thrust(state: State, quadrotor: Quadrotor, command: Array, kind: ActionKind) -> list[Shape]:
    """Return an arrow for each rotor, or one for thrust and rates, from a command (4,)."""
    if not (_is_placed(state) and np.isfinite(command).all()):
        return []
    weight = quadrotor.mass * quadrotor.gravity
    if kind == "motors":
        roots = _rotors(state, quadrotor)
        shares = 4.0 * quadrotor.thrust(command) / weight  # each alone carries a quarter
    else:
        roots, shares = state.position[None], np.array([command[0] / quadrotor.gravity])
    tips = roots + HOVER_LENGTH * shares[:, None] * state.rotation[:, 2]
    return [
        Shape("thrust", number, "arrow", np.stack([root, tip]), ORANGE, 0.015)
        for number, (root, tip) in enumerate(zip(roots, tips, strict=True))
    ]


def target(state: State, reference: Reference) -> list[Shape]:
    """Return where the drone should be, where that moves to, and how far off the drone is."""
    place = reference.position
    if not np.isfinite(place).all():
        return []
    shapes = [Shape("reference", 0, "sphere", place[None], GREEN, 0.05)]
    if np.linalg.norm(reference.velocity) > SLOW:
        tip = place + VELOCITY_SCALE * reference.velocity
        shapes.append(Shape("reference", 1, "arrow", np.stack([place, tip]), GREEN, 0.015))
    if _is_placed(state):
        points = np.stack([state.position, place])
        shapes.append(Shape("error", 0, "lines", points, GREEN, 0.006))
    return shapes


def scene(
    columns: Mapping[str, Array], quadrotor: Quadrotor, mode: str, kind: ActionKind
) -> list[Shape]:
    """Return all that moves, from the columns of one tick."""
    parts = (columns[name][0] for name in ("position", "quaternion", "velocity", "body_rates"))
    state = State(*parts)
    reference = Reference(columns["reference_position"][0], columns["reference_velocity"][0])
    shapes = [*drone(state, quadrotor, mode), *target(state, reference)]
    if not columns["stopped"][0]:
        shapes += thrust(state, quadrotor, columns["command"][0], kind)
    return shapes


def _rotors(state: State, quadrotor: Quadrotor) -> Array:
    """Return where the rotors are (4, 3), further out on very small drones."""
    arms = quadrotor.rotor_positions
    length = float(np.linalg.norm(arms, axis=1).min())
    arms = arms * max(1.0, SMALLEST_ARM / length)
    flat = np.concatenate([arms, np.zeros((4, 1))], axis=1)
    return state.position + flat @ state.rotation.T


def _is_placed(state: State) -> bool:
    return bool(np.isfinite(state.position).all() and np.isfinite(state.quaternion).all())


class Trail:
    """Where a drone has been: points that are some way apart, the oldest forgotten."""

    def __init__(self, spacing: float = 0.02, capacity: int = 1000) -> None:
        """Keep up to `capacity` points at least `spacing` m apart."""
        self._spacing, self._capacity = spacing, capacity
        self.points: list[Array] = []

    def add(self, position: Array) -> None:
        """Go on to a position (3,), if it is known and away from the last."""
        if not np.isfinite(position).all():
            return
        if not self.points or np.linalg.norm(position - self.points[-1]) >= self._spacing:
            self.points.append(np.array(position))
            del self.points[: -self._capacity]

    def clear(self) -> None:
        """Forget all."""
        self.points.clear()
