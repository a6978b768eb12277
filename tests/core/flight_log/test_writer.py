"""Bags without ROS: what is written is read back byte for byte, and faults are one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snn_controller.errors import UserError
from snn_controller.flight_log.writer import Bag

pytest.importorskip("rosbags")
TYPE = "std_msgs/msg/String"
MESSAGES = [(t, b"\x00\x01\x00\x00\x02\x00\x00\x00" + bytes([65 + t, 0])) for t in range(20)]


def write(folder: Path, distribution: str = "jazzy") -> None:
    bag = Bag(folder, distribution)
    for time, data in MESSAGES:
        bag.write("/words", TYPE, time, data)
    bag.close()
    bag.close()


def read(folder: Path) -> list[tuple[int, bytes]]:
    from rosbags.rosbag2 import Reader

    with Reader(folder) as reader:
        return [(time, bytes(data)) for _, time, data in reader.messages()]


@pytest.mark.parametrize("distribution", ["humble", "jazzy", "kilted", "not-a-distribution"])
def test_messages_come_back_byte_for_byte(tmp_path: Path, distribution: str) -> None:
    write(tmp_path / "bag", distribution)
    assert read(tmp_path / "bag") == MESSAGES


def test_mcap_readers_decode_the_bag(tmp_path: Path) -> None:
    pytest.importorskip("mcap_ros2")
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    write(tmp_path / "bag")
    with (tmp_path / "bag" / "bag.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        words = [x.decoded_message.data for x in reader.iter_decoded_messages()]
    assert words == [chr(65 + time) for time, _ in MESSAGES]


def test_bag_without_messages_can_be_read(tmp_path: Path) -> None:
    Bag(tmp_path / "bag").close()
    assert read(tmp_path / "bag") == []


def test_known_types(tmp_path: Path) -> None:
    bag = Bag(tmp_path / "bag")
    assert bag.knows("nav_msgs/msg/Odometry")
    assert bag.knows("tf2_msgs/msg/TFMessage")
    assert not bag.knows("my_msgs/msg/Own")
    bag.close()


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "precious").touch()
    with pytest.raises(UserError, match="exists already; remove it or choose another"):
        Bag(tmp_path / "bag")
    assert [x.name for x in (tmp_path / "bag").iterdir()] == ["precious"]


def test_impossible_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made"):
        Bag(tmp_path / "file" / "bag")


def test_missing_rosbags_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2", None)
    with pytest.raises(UserError, match="pip install 'rosbags"):
        Bag(tmp_path / "bag")
    assert list(tmp_path.iterdir()) == []
