"""Bags as they lie on disk: which files they are of, and their messages, decoded. ROS-free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from snn_controller.errors import UserError, quote
from snn_controller.flight_log.mcap import McapFile, RawMessage
from snn_controller.flight_log.message_types import message_types
from snn_controller.flight_log.store import REPORT_FILE

MEND = "give the folder or the .mcap file that record:=true wrote"


class GarbledMessage(UserError):
    """One message cannot be used; the others may be."""


class BagReader:
    """One bag, read once from its beginning to its end or to the first damage."""

    def __init__(self, path: str | Path) -> None:
        """Find the files of a bag.

        Args:
            path: A bag's folder, an .mcap file, or the report folder of a recorded flight.

        Raises:
            UserError: It is no bag that can be read.
        """
        self.path = Path(path).expanduser()
        self._files = [McapFile(file) for file in bag_files(self.path)]

    def messages(self) -> Iterator[RawMessage]:
        """Yield all messages, file by file, each up to its first damage."""
        for file in self._files:
            yield from file.messages()

    @property
    def damage(self) -> tuple[str, ...]:
        """A sentence for each damaged file, once all messages have been read."""
        return tuple(file.damage for file in self._files if file.damage is not None)


def bag_files(path: Path) -> list[Path]:
    """Return the .mcap files of a bag in their order.

    Raises:
        UserError: There are none.
    """
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise UserError(f"bag {path} does not exist; {MEND}")
        files = _listed(path) or sorted(path.glob("*.mcap"), key=_natural)
        if files:
            return files
        if (path / "bag").is_dir():
            return bag_files(path / "bag")
        if any(path.glob("*.db3")):
            raise UserError(
                f"bag {path} is stored in SQLite, not MCAP; convert it with ros2 bag convert"
            )
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise UserError(f"bag {quote(path)} cannot be read ({quote(error)}); {MEND}") from error
    if (path / REPORT_FILE).is_file():
        raise UserError(f"the flight of {path} was not recorded; fly it again with record:=true")
    raise UserError(f"folder {path} holds no .mcap file; {MEND}")


def decoder() -> Callable[[RawMessage], Any]:
    """Return a function that decodes messages of the standard packages.

    It raises GarbledMessage for bytes that are no such message.

    Raises:
        UserError: rosbags is not installed.
    """
    store = message_types()

    def decode(message: RawMessage) -> Any:
        try:
            return store.deserialize_cdr(message.data, message.message_type)
        except Exception as error:  # rosbags raises whatever its generated code does
            raise GarbledMessage(
                f"a message of topic {quote(message.topic)} cannot be decoded as"
                f" {quote(message.message_type)}"
            ) from error

    return decode


def _listed(folder: Path) -> list[Path]:
    """Return the files that a bag's metadata lists, if they are all there."""
    with suppress(OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        metadata = yaml.safe_load((folder / "metadata.yaml").read_text(errors="replace"))
        names = metadata["rosbag2_bagfile_information"]["relative_file_paths"]
        files = [folder / Path(name).name for name in names]
        if all(file.suffix == ".mcap" and file.is_file() for file in files):
            return files
    return []


def _natural(file: Path) -> tuple[int, str]:
    """Order bag_2.mcap before bag_10.mcap."""
    return len(file.name), file.name
