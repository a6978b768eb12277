"""What the viewer shows, as messages that RViz and Foxglove draw and plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped, Vector3Stamped
from nav_msgs.msg import Path
from std_msgs.msg import (
    ColorRGBA,
    Float32MultiArray,
    Header,
    MultiArrayDimension,
    MultiArrayLayout,
)
from visualization_msgs.msg import Marker, MarkerArray

from snn_controller.frames import Array
from snn_controller.scene import Shape

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
