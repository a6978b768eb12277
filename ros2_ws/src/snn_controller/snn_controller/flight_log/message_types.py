"""Definitions of the standard ROS messages, by rosbags: to decode and describe them. ROS-free."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from snn_controller.errors import UserError
from snn_controller.vehicle import Array

NO_ROSBAGS = "rosbags is not installed, so messages cannot be read; pip install 'rosbags<0.12'"
TRANSFORMS_TYPE = "tf2_msgs/msg/TFMessage"
_SECOND = 1_000_000_000


@lru_cache(maxsize=1)
def message_types() -> Any:
    """Return rosbags' store of the messages of Jazzy.

    Raises:
        UserError: rosbags is not installed.
    """
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise UserError(NO_ROSBAGS) from error
    return get_typestore(Stores.ROS2_JAZZY)


def message_definition(message_type: str) -> bytes:
    """Return the definition of a message with all it is made of, as MCAP and Foxglove want it."""
    return message_types().generate_msgdef(message_type, ros_version=2)[0].encode()


def transform_bytes(
    stamp: int, frames: tuple[str, str], position: Array, quaternion: Array
) -> bytes:
    """Return a serialised `tf2_msgs/TFMessage`, whose package no wheel brings.

    Args:
        stamp: ns.
        frames: Parent and child.
        position: (3,) m, of the child in the parent.
        quaternion: (4,) xyzw, child to parent.
    """
    store = message_types()
    types = store.types
    time = types["builtin_interfaces/msg/Time"](stamp // _SECOND, stamp % _SECOND)
    transform = types["geometry_msgs/msg/TransformStamped"](
        types["std_msgs/msg/Header"](time, frames[0]),
        frames[1],
        types["geometry_msgs/msg/Transform"](
            types["geometry_msgs/msg/Vector3"](*position.tolist()),
            types["geometry_msgs/msg/Quaternion"](*quaternion.tolist()),
        ),
    )
    return bytes(store.serialize_cdr(types[TRANSFORMS_TYPE]([transform]), TRANSFORMS_TYPE))
