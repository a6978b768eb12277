"""A flight as the viewer knows it, and the messages that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from snn_controller.nodes.viewer.scene import Shape, Trail, fence, scene
from snn_controller.vehicle import ActionKind, Array, load_quadrotor

_TYPES = {
    "lines": Marker.LINE_LIST,
    "arrow": Marker.ARROW,
    "sphere": Marker.SPHERE,
    "text": Marker.TEXT_VIEW_FACING,
}


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
