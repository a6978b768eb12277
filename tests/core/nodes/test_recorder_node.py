"""The recorder as a real process: what others publish is in the bag, whole, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import QoSProfile, qos_profile_sensor_data  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import String, UInt8MultiArray  # noqa: E402

TIMEOUT = 30.0  # s, for a busy machine; everything waits for events, not for time


@pytest.fixture
def node(ros_environment: dict[str, str]) -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context, domain_id=int(ros_environment["ROS_DOMAIN_ID"]))
    node = Node("tester", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def start(*words: str, prefix: str = "", **parameters: object) -> subprocess.Popen[str]:
    given = [f"{name}:={value}" for name, value in parameters.items()]
    parameter_words = [word for text in given for word in ("-p", text)]
    command = [sys.executable, "-m", "snn_controller.nodes.recorder_node", "--ros-args", *words]
    shell = ["bash", "-c", f'{prefix} exec "$@"', "recorder", *command, *parameter_words]
    return subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], number: int | None = None) -> tuple[int, str]:
    """Send a signal if given; return the exit code and all output."""
    try:
        if number is not None:
            process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    return process.returncode, out + err


def await_listener(*publishers: Any) -> None:
    deadline = monotonic() + TIMEOUT
    while any(publisher.get_subscription_count() == 0 for publisher in publishers):
        assert monotonic() < deadline, "the recorder never subscribed"
        sleep(0.02)


def await_delivery(*publishers: Any) -> None:
    for publisher in publishers:
        assert publisher.wait_for_all_acked(Duration(seconds=TIMEOUT))


def odometry(index: int) -> Odometry:
    message = Odometry(child_frame_id="base_link")
    message.header.stamp.sec = index
    message.pose.pose.position.x = 0.1 * index
    return message


def read(folder: Path) -> dict[str, list[bytes]]:
    from rosbags.rosbag2 import Reader

    topics: dict[str, list[bytes]] = {}
    with Reader(folder) as reader:
        for connection, _, data in reader.messages():
            topics.setdefault(connection.topic, []).append(bytes(data))
    return topics


@pytest.mark.slow
def test_known_and_discovered_topics_are_recorded_whole(tmp_path: Path, node: Node) -> None:
    recorder = start(folder=tmp_path / "bag", reliable=True, topics="[odom, motors, words]")
    odometries = node.create_publisher(Odometry, "odom", 50)
    motors = node.create_publisher(JointState, "motors", 50)
    words = node.create_publisher(String, "words", 50)  # of a type the recorder has to look up
    await_listener(odometries, motors, words)
    for index in range(40):
        odometries.publish(odometry(index))
        motors.publish(JointState(name=["m1"], position=[0.01 * index]))
        words.publish(String(data=f"word {index}"))
    await_delivery(odometries, motors, words)
    code, output = finish(recorder, signal.SIGINT)
    assert code == 0, output
    assert "120 messages" in output
    topics = read(tmp_path / "bag")
    # padding between fields is anybody's, so messages are compared and not their bytes
    assert [deserialize_message(x, Odometry) for x in topics["/odom"]] == [
        odometry(index) for index in range(40)
    ]
    words_read = [deserialize_message(x, String).data for x in topics["/words"]]
    assert words_read == [f"word {index}" for index in range(40)]
    assert len(topics["/motors"]) == 40
    _check_foxglove(tmp_path / "bag" / "bag.mcap")


def _check_foxglove(file: Path) -> None:
    """Decode with the reader that needs no knowledge but the file's own, as Foxglove does."""
    pytest.importorskip("mcap_ros2")
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    with file.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        decoded = reader.iter_decoded_messages(topics=["/odom"])
        positions = [x.decoded_message.pose.pose.position.x for x in decoded]
    assert positions == [0.1 * index for index in range(40)]


def test_best_effort_publishers_are_heard_even_if_reliability_was_asked_for(
    tmp_path: Path, node: Node
) -> None:
    recorder = start(folder=tmp_path / "bag", reliable=True, topics="[odom]")
    publisher = node.create_publisher(Odometry, "odom", qos_profile_sensor_data)
    await_listener(publisher)
    for index in range(100):
        publisher.publish(odometry(index))
        sleep(0.01)
    code, output = finish(recorder, signal.SIGTERM)
    assert code == 0, output
    # some may be lost, in particular before both ends agree that they have met
    heard = [deserialize_message(x, Odometry) for x in read(tmp_path / "bag")["/odom"]]
    assert heard
    assert all(message == odometry(message.header.stamp.sec) for message in heard)


def test_names_are_remapped_and_kept_in_their_namespace(tmp_path: Path, node: Node) -> None:
    recorder = start(
        "-r", "__ns:=/drone", "-r", "motors:=/rotors", folder=tmp_path / "bag", reliable=True,
        topics="[odom, motors]",
    )  # fmt: skip
    odometries = node.create_publisher(Odometry, "/drone/odom", 10)
    motors = node.create_publisher(JointState, "/rotors", 10)
    await_listener(odometries, motors)
    odometries.publish(odometry(1))
    motors.publish(JointState())
    await_delivery(odometries, motors)
    code, output = finish(recorder, signal.SIGINT)
    assert code == 0, output
    assert set(read(tmp_path / "bag")) == {"/drone/odom", "/rotors"}


def test_bag_is_whole_when_the_launcher_is_gone(
    tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    code, output = finish(start(folder=tmp_path / "bag", launcher_pid=1))
    assert code == 3, output
    assert read(tmp_path / "bag") == {}


@pytest.mark.usefixtures("ros_environment")
def test_little_free_space_ends_the_recording_with_one_sentence(tmp_path: Path) -> None:
    code, output = finish(start(folder=tmp_path / "bag", reserve_mib=1e6))
    assert code == 1
    assert output.count("recording has stopped: only") == 1
    assert read(tmp_path / "bag") == {}


def test_disk_that_refuses_a_write_ends_it_and_keeps_what_was_written(
    tmp_path: Path, node: Node
) -> None:
    # a limit on the size of files fails a write as a full disk does
    recorder = start(folder=tmp_path / "bag", topics="[snn_controller/spikes]",
                     reliable=True, prefix="ulimit -f 1500;")  # fmt: skip
    publisher = node.create_publisher(UInt8MultiArray, "snn_controller/spikes", QoSProfile(depth=9))
    await_listener(publisher)
    deadline = monotonic() + TIMEOUT
    while recorder.poll() is None and monotonic() < deadline:
        publisher.publish(UInt8MultiArray(data=bytes(50_000)))
        sleep(0.01)
    code, output = finish(recorder)
    assert code == 1, output
    assert output.count("recording has stopped: File too large") == 1
    assert "mcap recover" in output
    assert (tmp_path / "bag" / "bag.mcap").stat().st_size > 1_000_000


@pytest.mark.usefixtures("ros_environment")
@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({}, "parameter 'folder' is empty"),
        ({"folder": "/proc/bag"}, "cannot be made"),
        ({"folder": "/tmp"}, "exists already"),
        ({"folder": "bag", "reliable": 3}, "parameter 'reliable' must be of type bool"),
    ],
)
def test_wrong_parameters_are_one_sentence(parameters: dict[str, Any], sentence: str) -> None:
    code, output = finish(start(**parameters))
    assert code == 2
    assert sentence in output
    assert "Traceback" not in output
