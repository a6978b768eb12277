"""Bags as they lie on disk: which files they are of, and their messages, decoded. ROS-free.

A recorder that was killed leaves a file without index and with half a record at its end; readers
that begin at the index see nothing of it. The package `mcap` has a reader that goes record by
record, but it gives nothing of the chunk that was cut, and nothing after a damaged one.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from snn_controller.errors import UserError, quote
from snn_controller.flight_log.store import REPORT_FILE
from snn_controller.flight_log.writer import message_types

MAGIC = b"\x89MCAP0\r\n"
LARGEST_CHUNK = 1 << 30  # bytes; writers use 1 to 16 MiB
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F
_HEAD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last time, uncompressed size, CRC-32
MEND = "give the folder or the .mcap file that record:=true wrote"


@dataclass(frozen=True)
class RawMessage:
    """One serialised message of a bag."""

    topic: str
    message_type: str  # such as nav_msgs/msg/Odometry
    time: int  # ns, when it was recorded
    data: bytes  # CDR with its header


class _Damage(Exception):
    """What is wrong, as the end of a sentence."""


class McapFile:
    """One file, read once from its beginning to its end or to the first damage."""

    def __init__(self, path: Path) -> None:
        """Look whether it is an MCAP file.

        Raises:
            UserError: It cannot be read or is none.
        """
        self.path = path
        self.damage: str | None = None  # a sentence, known once all messages have been read
        self._place = 0  # bytes, where the record begins that is being read
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}
        try:
            with path.open("rb") as file:
                magic = file.read(len(MAGIC))
        except OSError as error:
            raise UserError(
                f"bag file {path} cannot be read ({error.strerror or error}); check its rights"
            ) from error
        if magic != MAGIC:
            what = "is empty" if not magic else "is no MCAP file"
            raise UserError(f"{path} {what}; give a bag that record:=true wrote, or an .mcap file")

    def messages(self) -> Iterator[RawMessage]:
        """Yield all messages in the order of the file, up to the first damage."""
        size = os.path.getsize(self.path)
        with self.path.open("rb") as file:
            file.seek(len(MAGIC))
            try:
                yield from self._read(file, size)
            except (_Damage, OSError) as error:
                self._note(error, size)

    def _note(self, error: Exception, size: int) -> None:
        """Keep a sentence about the first damage, and where the last sound record ends."""
        place = f"{self._place:,} of {size:,} bytes"
        self.damage = self.damage or f"{self.path} is damaged after {place}: {error}"

    def _read(self, file: IO[bytes], size: int) -> Iterator[RawMessage]:
        while True:
            self._place = file.tell()
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise _Damage("it ends without an index, so its recorder was cut off")
            kind, length = _HEAD.unpack(head)
            if kind in (_DATA_END, _FOOTER):
                return
            rest = size - file.tell()
            content = file.read(min(length, rest))
            if kind == _CHUNK:
                try:
                    yield from self._chunk(content, whole=length <= rest)
                except _Damage as damage:
                    self._note(damage, size)  # the next chunk may be sound
            elif length <= rest and (message := self._record(kind, content)) is not None:
                yield message
            if length > rest:
                raise _Damage("it ends in the middle of a record")

    def _chunk(self, content: bytes, *, whole: bool) -> Iterator[RawMessage]:
        """Yield the messages of a chunk, as far as it goes; it is whole unless the file is cut."""
        try:
            _, _, size, checksum = _CHUNK_HEAD.unpack_from(content)
            name, start = _text(content, _CHUNK_HEAD.size)
            (length,) = struct.unpack_from("<Q", content, start)
        except struct.error as error:
            if whole:
                raise _Damage("a chunk is garbled") from error
            return
        records = _unpack(content[start + 8 : start + 8 + length], name, size, whole_length=length)
        if checksum and len(records) == size and zlib.crc32(records) != checksum:
            raise _Damage("a chunk does not match its checksum")
        position = 0
        while position + _HEAD.size <= len(records):
            kind, length = _HEAD.unpack_from(records, position)
            begin, end = position + _HEAD.size, position + _HEAD.size + length
            if end > len(records):
                break
            position = end
            if (message := self._record(kind, records[begin:end])) is not None:
                yield message
        if whole and position != len(records):
            raise _Damage("a chunk is garbled")

    def _record(self, kind: int, content: bytes) -> RawMessage | None:
        try:
            if kind == _SCHEMA:
                (number,) = struct.unpack_from("<H", content)
                self._schemas[number] = _text(content, 2)[0]
            elif kind == _CHANNEL:
                number, schema = struct.unpack_from("<HH", content)
                self._channels[number] = (_text(content, 4)[0], self._schemas.get(schema, ""))
            elif kind == _MESSAGE:
                number, _, time, _ = _MESSAGE_HEAD.unpack_from(content)
                topic, message_type = self._channels[number]
                return RawMessage(topic, message_type, time, content[_MESSAGE_HEAD.size :])
        except (struct.error, KeyError) as error:
            raise _Damage("a record is garbled") from error
        return None


def _text(content: bytes, start: int) -> tuple[str, int]:
    """Return a text and where it ends."""
    (length,) = struct.unpack_from("<I", content, start)
    end = start + 4 + length
    return content[start + 4 : end].decode(errors="replace"), end


def _unpack(records: bytes, compression: str, size: int, *, whole_length: int) -> bytes:
    """Return the records of a chunk, decompressed; those of a cut chunk only if they are plain."""
    if not compression:
        return records
    if len(records) < whole_length:
        return b""
    if size > LARGEST_CHUNK:
        raise _Damage(f"a chunk claims {size:,} bytes")
    try:
        return _decompress(records, compression)
    except ImportError as error:
        raise UserError(
            f"the bag is compressed with {quote(compression)}, which rosbags brings along;"
            " pip install 'rosbags<0.12'"
        ) from error
    except Exception as error:  # each library has errors of its own
        raise _Damage(f"a chunk cannot be decompressed ({quote(error)})") from error


def _decompress(records: bytes, compression: str) -> bytes:
    if compression == "lz4":
        import lz4.frame

        return lz4.frame.decompress(records)
    if compression == "zstd":
        try:
            from compression import zstd  # pyright: ignore[reportMissingImports]
        except ImportError:
            from backports import zstd  # pyright: ignore[reportMissingImports]
        return zstd.decompress(records)
    raise _Damage(f"it is compressed with {quote(compression)}, which is unknown")


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
