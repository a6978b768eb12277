"""A flight as the viewer knows it: its shapes in space, and the messages that show it. World frame.

Lengths of thrust are in shares of the weight, so that hovering looks alike on every airframe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped, Vector3Stamped
from nav_msgs.msg import Path
from std_msgs.msg import (
    ColorRGBA,
    Float32MultiArray,
    Float64MultiArray,
    Header,
    MultiArrayDimension,
    MultiArrayLayout,
)
from visualization_msgs.msg import Marker, MarkerArray

from snn_controller.flight_log import MODES, SPIKE_RATE, split_rows, stamps_of, transform_bytes
from snn_controller.nodes.ros.conversions import ns_to_stamp
from snn_controller.safety import Mode
from snn_controller.vehicle import ActionKind, Array, Quadrotor, Reference, State, load_quadrotor

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
_TYPES = {
    "lines": Marker.LINE_LIST,
    "arrow": Marker.ARROW,
    "sphere": Marker.SPHERE,
    "text": Marker.TEXT_VIEW_FACING,
}


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


def markers_message(shapes: Sequence[Shape], frame: str, stamp: Time) -> MarkerArray:
    """Write shapes; whatever is not among them any more is deleted."""
    clear = Marker(action=Marker.DELETEALL)
    clear.header = Header(frame_id=frame, stamp=stamp)
    return MarkerArray(markers=[clear, *(_marker(shape, clear.header) for shape in shapes)])


def _marker(shape: Shape, header: Header) -> Marker:
    marker = Marker(header=header, ns=shape.name, id=shape.number, type=_TYPES[shape.kind])
    marker.action = Marker.ADD
    marker.pose.orientation.w = 1.0
    red, green, blue, opacity = shape.colour
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=opacity)
    scale = marker.scale
    scale.x = scale.y = scale.z = shape.size
    if shape.kind == "lines":
        scale.y = scale.z = 0.0  # width is x
    elif shape.kind == "arrow":
        scale.y, scale.z = 2.0 * shape.size, 0.0  # shaft, head, length of the head: as it comes
    if shape.kind in ("lines", "arrow"):
        marker.points = [_point(point) for point in shape.points]
    else:
        marker.pose.position = _point(shape.points[0])
    marker.text = shape.text
    return marker


def path_message(points: Sequence[Array], frame: str, stamp: Time) -> Path:
    """Write the way a drone has come."""
    header = Header(frame_id=frame, stamp=stamp)
    poses = [PoseStamped(header=header) for _ in points]
    for pose, point in zip(poses, points, strict=True):
        pose.pose.position = _point(point)
        pose.pose.orientation.w = 1.0
    return Path(header=header, poses=poses)


def error_message(error: Array, frame: str, stamp: Time) -> Vector3Stamped:
    """Write the position error (3,) in m."""
    message = Vector3Stamped(header=Header(frame_id=frame, stamp=stamp))
    message.vector.x, message.vector.y, message.vector.z = map(float, error)
    return message


def figures_message(figures: Mapping[str, float]) -> Float32MultiArray:
    """Write named numbers; `layout` holds the names, in the order of the numbers."""
    layout = MultiArrayLayout(
        dim=[MultiArrayDimension(label=name, size=1, stride=1) for name in figures]
    )
    return Float32MultiArray(layout=layout, data=[float(x) for x in figures.values()])


def _point(place: Array) -> Point:
    x, y, z = place.tolist()
    return Point(x=x, y=y, z=z)


class View:
    """What has been heard of a flight."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        """Begin with the facts of the flight.

        Raises:
            UserError: Its airframe is unknown here.
        """
        self._kind: ActionKind = info["action_kind"]
        self._quadrotor = load_quadrotor(info["airframe"])
        self._fence = fence(info["geofence"])
        self._world_frame: str = info["parameters"]["world_frame"]
        self._body_frame: str = info["parameters"]["body_frame"]
        self._columns: dict[str, Array] = {}
        self._membranes: dict[str, float] = {}
        self._trail = Trail()

    def take_tick(self, message: Float64MultiArray) -> None:
        """Take the newest tick."""
        labels = [dim.label for dim in message.layout.dim]
        sizes = [dim.size for dim in message.layout.dim]
        self._columns = split_rows(np.array(message.data)[None], labels, sizes)
        self._trail.add(self._columns["position"][0])

    def take_membranes(self, message: Float32MultiArray, shown: int) -> None:
        """Take the membrane potentials of the first few neurons of each layer."""
        start, self._membranes = 0, {}
        for dim in message.layout.dim:
            for number in range(min(shown, dim.size)):
                self._membranes[f"{dim.label}[{number}]"] = message.data[start + number]
            start += dim.size

    @property
    def _stamp(self) -> Time:
        return ns_to_stamp(int(stamps_of(self._columns)[0]))

    def markers(self) -> MarkerArray:
        """Return all that is in space."""
        mode = MODES[int(self._columns["mode"][0])]
        shapes = scene(self._columns, self._quadrotor, mode, self._kind)
        return markers_message([self._fence, *shapes], self._world_frame, self._stamp)

    def path(self) -> Path:
        """Return the way that the drone has come."""
        return path_message(self._trail.points, self._world_frame, self._stamp)

    def error(self) -> Vector3Stamped:
        """Return the position error in m."""
        error = self._columns["position"][0] - self._columns["reference_position"][0]
        return error_message(error, self._world_frame, self._stamp)

    def spike_rates(self) -> Float32MultiArray | None:
        """Return the share of neurons that fired in the tick, per layer; None without layers."""
        rates = {k: float(x[0]) for k, x in self._columns.items() if k.startswith(SPIKE_RATE)}
        named = {k[len(SPIKE_RATE) :]: x for k, x in rates.items()}
        return figures_message(named) if named else None

    def membranes(self) -> Float32MultiArray | None:
        """Return the membrane potentials of some neurons; None before any were told."""
        return figures_message(self._membranes) if self._membranes else None

    def work(self) -> Float32MultiArray:
        """Return what the tick cost: synaptic operations, latency in ms, missed periods."""
        columns = self._columns
        return figures_message(
            {
                "synaptic_ops": columns["synaptic_ops"][0],
                "latency_ms": 1e3 * columns["latency"][0],
                "missed": columns["missed"][0],
            }
        )

    def transform(self) -> bytes:
        """Return where the body is in the world, as a serialised TFMessage."""
        return transform_bytes(
            int(stamps_of(self._columns)[0]),
            (self._world_frame, self._body_frame),
            self._columns["position"][0],
            self._columns["quaternion"][0],
        )
