"""Which files are a bag, which are not, and what is read of damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_controller.flight_log.reader import MAGIC, BagReader, McapFile, decoder

pytest.importorskip("rosbags")

from snn_controller.flight_log.writer import Bag
from support.recorded_bags import text

STRING = "std_msgs/msg/String"
WORDS = [f"word {n} " * 50 for n in range(200)]


def write(folder: Path) -> Path:
    bag = Bag(folder)
    for time, word in enumerate(WORDS):
        bag.write("/words", STRING, time, text(word))
    bag.close()
    return folder / f"{folder.name}.mcap"


def read(path: Path) -> tuple[list[str], tuple[str, ...]]:
    reader, decode = BagReader(path), decoder()
    return [decode(x).data for x in reader.messages()], reader.damage


def test_messages_come_in_order_from_folder_and_file(tmp_path: Path) -> None:
    file = write(tmp_path / "bag")
    assert read(tmp_path / "bag") == read(file) == (WORDS, ())


@pytest.mark.parametrize("compression", ["", "lz4", "zstd"])
def test_other_writers_bags_are_read_whole_and_cut(tmp_path: Path, compression: str) -> None:
    writer_module = pytest.importorskip("mcap.writer")
    kind = {"": "NONE", "lz4": "LZ4", "zstd": "ZSTD"}[compression]
    file = tmp_path / "other.mcap"
    with file.open("wb") as stream:
        try:
            writer = writer_module.Writer(
                stream, chunk_size=4096, compression=writer_module.CompressionType[kind]
            )
        except ImportError:
            pytest.skip(f"mcap cannot write {compression} here")
        writer.start()
        schema = writer.register_schema(STRING, "ros2msg", b"string data")
        channel = writer.register_channel("/words", "cdr", schema)
        for time, word in enumerate(WORDS):
            writer.add_message(channel, time, text(word), time)
        writer.finish()
    assert read(file) == (WORDS, ())
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    words, damage = read(file)
    assert words == WORDS[: len(words)]
    assert len(damage) == 1


@given(share=st.floats(0.0, 0.999))
def test_a_cut_file_gives_what_was_before_the_cut(
    share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = write(tmp_path_factory.mktemp("cut") / "bag")
    content = file.read_bytes()
    file.write_bytes(content[: max(len(MAGIC), int(share * len(content)))])
    mcap = McapFile(file)
    messages = list(mcap.messages())
    assert [x.data for x in messages] == [text(word) for word in WORDS[: len(messages)]]
    if len(messages) < len(WORDS):
        assert mcap.damage is not None and "is damaged after" in mcap.damage


@given(place=st.floats(0.0, 1.0), value=st.integers(0, 255))
def test_a_garbled_byte_ends_in_a_sentence_at_worst(
    place: float, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = write(tmp_path_factory.mktemp("garbled") / "bag")
    content = bytearray(file.read_bytes())
    content[min(int(place * len(content)), len(content) - 1)] = value
    file.write_bytes(content)
    try:
        mcap = McapFile(file)
    except UserError:
        return  # its first bytes
    assert len(list(mcap.messages())) <= len(WORDS)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: None, "does not exist; give the folder or the .mcap file"),
        (lambda p: p.mkdir(), "holds no .mcap file; give the folder"),
        (lambda p: p.write_bytes(b""), "is empty; give a bag"),
        (lambda p: p.write_bytes(b"PK\x03\x04 something else"), "is no MCAP file; give a bag"),
        (lambda p: (p.mkdir(), (p / "x.db3").touch()), "SQLite, not MCAP; convert it with ros2"),
        (lambda p: (p.mkdir(), (p / "x.mcap").touch()), "x.mcap is empty"),
    ],
)
def test_what_is_no_bag_is_one_sentence(tmp_path: Path, make, sentence: str) -> None:
    make(tmp_path / "thing")
    with pytest.raises(UserError, match=sentence):
        read(tmp_path / "thing")


def test_impossible_names_are_one_sentence() -> None:
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(UserError, match=r"cannot be read|does not exist"):
            BagReader(name)


def test_a_message_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    bag = Bag(tmp_path / "bag")
    bag.write("/words", STRING, 1, b"\x00\x01")
    bag.close()
    with pytest.raises(UserError, match="a message of topic /words cannot be decoded"):
        read(tmp_path / "bag")
