"""The simulator node on real DDS: one step per answer, in whatever way messages get lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import QoSProfile, qos_profile_sensor_data  # noqa: E402

from snn_controller.errors import UserError  # noqa: E402
from snn_controller.nodes.ros.conversions import motors_to_message, thrust_rates_to_message  # noqa: E402
from snn_controller.nodes.simulator_node import START_TIME, SimulatorNode  # noqa: E402
from snn_controller.vehicle.action import Command, stop_command  # noqa: E402
from snn_controller.vehicle.state import odometry_from_message, stamp_to_ns  # noqa: E402
from support.real_time import in_real_time  # noqa: E402

STEP = 10_000_000
HOVER = Command("motors", np.full(4, 0.66))


class Pilot(Node):
    """Counts odometry and answers when told to."""

    def __init__(self, qos: QoSProfile) -> None:
        super().__init__("pilot")
        from geometry_msgs.msg import TwistStamped
        from sensor_msgs.msg import JointState

        self.seen: list[int] = []
        self.messages: list[Odometry] = []
        self.create_subscription(Odometry, "odom", self._on_odometry, qos)
        self.motors = self.create_publisher(JointState, "motors", 1)
        self.thrust_rates = self.create_publisher(TwistStamped, "thrust_rates", 1)

    def _on_odometry(self, message: Odometry) -> None:
        self.seen.append(stamp_to_ns(message.header.stamp))
        self.messages.append(message)

    def answer(self, stamp: int, command: Command = HOVER) -> None:
        if command.kind == "motors":
            self.motors.publish(motors_to_message(command, stamp))
        else:
            self.thrust_rates.publish(thrust_rates_to_message(command, stamp, "base_link"))


class Pair:
    """A simulator and a pilot on one executor."""

    def __init__(self, *parameters: str) -> None:
        words = [word for parameter in parameters for word in ("-p", parameter)]
        rclpy.init(args=["--ros-args", *words])
        self.simulator = SimulatorNode()
        lockstep = self.simulator.settings.lockstep
        self.pilot = Pilot(QoSProfile(depth=1) if lockstep else qos_profile_sensor_data)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.simulator)
        self.executor.add_node(self.pilot)

    def spin_until(self, condition, seconds: float = 10.0) -> bool:
        deadline = monotonic() + seconds
        while monotonic() < deadline and not condition():
            self.executor.spin_once(timeout_sec=0.02)
        return bool(condition())

    def close(self) -> None:
        self.simulator.close("test over")
        self.executor.shutdown()
        self.simulator.destroy_node()
        self.pilot.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def pair(ros_environment: dict[str, str]) -> Iterator[type[Pair]]:
    made: list[Pair] = []

    def make(*parameters: str) -> Pair:
        made.append(Pair(*parameters))
        return made[-1]

    yield make  # type: ignore[misc]
    for each in made:
        each.close()
    rclpy.try_shutdown()


def test_time_stands_still_until_answered_and_odometry_is_sent_again(pair) -> None:
    world = pair("lockstep:=true")
    assert world.spin_until(lambda: len(world.pilot.seen) >= 4)
    assert set(world.pilot.seen) == {START_TIME}


def test_one_answer_is_one_step_however_often_it_comes(pair) -> None:
    world = pair("lockstep:=true")
    assert world.spin_until(lambda: world.pilot.seen)
    for _ in range(3):
        world.pilot.answer(START_TIME)
    assert world.spin_until(lambda: START_TIME + STEP in world.pilot.seen)
    world.spin_until(lambda: False, seconds=0.3)
    assert max(world.pilot.seen) == START_TIME + STEP


def test_an_answer_to_other_odometry_is_ignored(pair) -> None:
    world = pair("lockstep:=true")
    assert world.spin_until(lambda: world.pilot.seen)
    world.pilot.answer(START_TIME - STEP)
    world.pilot.answer(START_TIME + STEP)
    world.spin_until(lambda: False, seconds=0.3)
    assert set(world.pilot.seen) == {START_TIME}


def test_a_flight_goes_on_when_answers_are_lost(pair) -> None:
    world = pair("lockstep:=true")
    answered = 0
    for number in range(20):
        stamp = START_TIME + number * STEP
        assert world.spin_until(lambda stamp=stamp: stamp in world.pilot.seen)
        if number % 3:  # every third answer is lost; the pilot sees the odometry again
            world.pilot.answer(stamp)
        else:
            before = len(world.pilot.seen)
            assert world.spin_until(lambda before=before: len(world.pilot.seen) > before)
            world.pilot.answer(stamp)
        answered += 1
    assert answered == 20


@pytest.mark.parametrize(
    "command",
    [Command("motors", np.full(4, 0.9)), Command("thrust_rates", np.array([14.0, 0.0, 0.0, 0.0]))],
)
def test_both_kinds_of_command_lift_the_drone(pair, command: Command) -> None:
    world = pair("lockstep:=true", "start:=easy")
    for number in range(30):
        stamp = START_TIME + number * STEP
        assert world.spin_until(lambda stamp=stamp: stamp in world.pilot.seen)
        world.pilot.answer(stamp, command)
    assert world.spin_until(lambda: START_TIME + 30 * STEP in world.pilot.seen)
    first, last = (odometry_from_message(world.pilot.messages[n]).state for n in (0, -1))
    assert last.position[2] > first.position[2] + 0.05
    assert last.velocity[2] > 0.2


@in_real_time
def test_in_real_time_silence_stops_the_motors(pair) -> None:
    world = pair("lockstep:=false", "start:=easy")
    assert world.spin_until(lambda: world.pilot.seen)
    world.pilot.answer(START_TIME, Command("motors", np.full(4, 0.7)))
    # 0.2 s of the last command, then free fall: it must be falling fast soon after
    assert world.spin_until(
        lambda: world.pilot.messages[-1].twist.twist.linear.z < -2.0, seconds=5.0
    )


def test_a_stop_command_gives_no_thrust(pair) -> None:
    world = pair("lockstep:=true", "start:=easy")
    for number in range(20):
        stamp = START_TIME + number * STEP
        assert world.spin_until(lambda stamp=stamp: stamp in world.pilot.seen)
        world.pilot.answer(stamp, stop_command("motors"))
    assert world.spin_until(lambda: START_TIME + 20 * STEP in world.pilot.seen)
    velocity = world.pilot.messages[-1].twist.twist.linear.z
    assert velocity == pytest.approx(-9.81 * 0.2, rel=0.02)


def test_a_second_simulator_in_the_domain_is_refused(pair) -> None:
    pair("lockstep:=true")
    with pytest.raises(UserError, match="already publishes odometry"):
        SimulatorNode()


def test_of_two_simulators_started_together_one_runs(ros_environment: dict[str, str]) -> None:
    rclpy.init()
    try:
        with ThreadPoolExecutor(2) as pool:
            starts = [pool.submit(SimulatorNode) for _ in range(2)]
        refused = [start.exception() for start in starts if start.exception()]
        assert len(refused) == 1
        assert isinstance(refused[0], UserError)
        for start in starts:
            if not start.exception():
                start.result().close("test over")
    finally:
        rclpy.shutdown()


def test_an_unknown_parameter_is_refused(ros_environment: dict[str, str]) -> None:
    rclpy.init(args=["--ros-args", "-p", "phisics_rate:=500.0"])
    try:
        with pytest.raises(UserError, match=r"unknown parameter 'phisics_rate'.*physics_rate"):
            SimulatorNode()
    finally:
        rclpy.shutdown()


def test_a_parameter_of_the_wrong_type_or_range_is_refused(ros_environment) -> None:
    for words, sentence in (
        (["-p", "odometry_rate:=100"], "decimal point"),
        (["-p", "odometry_rate:=1.0"], "outside its range"),
        (["-p", "start:=moon"], "choose one of"),
        (["-p", "command_timeout:=.nan"], "outside its range"),
    ):
        rclpy.init(args=["--ros-args", *words])
        try:
            with pytest.raises(UserError, match=sentence):
                SimulatorNode()
        finally:
            rclpy.shutdown()
