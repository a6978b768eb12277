"""An MCAP bag on disk, written message by message as raw CDR; opens in Foxglove. ROS-free.

Definitions of the standard messages come from rosbags.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from snn_controller.errors import UserError
from snn_controller.vehicle import Array

NO_DEFINITIONS = "rosbags is not installed, so messages cannot be read; pip install 'rosbags<0.12'"
TRANSFORMS_TYPE = "tf2_msgs/msg/TFMessage"
_SECOND = 1_000_000_000
DEFAULT_DISTRIBUTION = "jazzy"
NO_ROSBAGS = "rosbags is not installed, so nothing can be recorded; pip install 'rosbags<0.12'"
METADATA_VERSION = 9  # of rosbag2, as Jazzy writes it


@lru_cache(maxsize=1)
def message_types() -> Any:
    """Return rosbags' store of the messages of Jazzy.

    Raises:
        UserError: rosbags is not installed.
    """
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise UserError(NO_DEFINITIONS) from error
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


class Bag:
    """A bag that is open for writing; whatever was written before `close` is kept."""

    def __init__(self, folder: Path, distribution: str = DEFAULT_DISTRIBUTION) -> None:
        """Create the bag's folder and open its file.

        Args:
            folder: Folder to make; it must not exist.
            distribution: ROS 2 distribution whose message definitions go into the bag; one that
                rosbags does not know counts as Jazzy.

        Raises:
            UserError: rosbags is missing, the folder exists or cannot be made.
        """
        try:
            from rosbags.rosbag2 import StoragePlugin, Writer
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise UserError(NO_ROSBAGS) from error
        if folder.exists():
            raise UserError(f"bag folder {folder} exists already; remove it or choose another")
        store = getattr(Stores, f"ROS2_{distribution.upper()}", Stores.ROS2_JAZZY)
        self._types = get_typestore(store)
        self._topics: dict[str, Any] = {}
        writer = Writer(folder, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
        try:
            writer.open()
        except OSError as error:
            raise UserError(
                f"bag folder {folder} cannot be made ({error.strerror or error}); free some space"
                " or choose a place that is writable"
            ) from error
        self._writer: Any = writer
        self.messages = 0

    def knows(self, message_type: str) -> bool:
        """Whether messages of a type such as `nav_msgs/msg/Odometry` can be written."""
        return message_type in self._types.fielddefs

    def write(self, topic: str, message_type: str, time: int, data: bytes) -> None:
        """Append one serialised message.

        Args:
            topic: Absolute topic name.
            message_type: A type that the bag knows.
            time: ns.
            data: CDR with its header.

        Raises:
            OSError: The disk is full or gone.
        """
        if topic not in self._topics:
            self._topics[topic] = self._writer.add_connection(
                topic, message_type, typestore=self._types
            )
        self._writer.write(self._topics[topic], time, data)
        self.messages += 1

    def close(self) -> None:
        """Write the index and close the file; closing twice does no harm.

        Raises:
            OSError: The disk is full or gone; what was written before is kept without an index.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        except OSError:
            with suppress(OSError):
                writer.abort()
            raise
