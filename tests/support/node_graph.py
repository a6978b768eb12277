"""The controller node and a made-up estimator on one executor, on real DDS."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32MultiArray, UInt8MultiArray
from std_srvs.srv import Trigger

from snn_controller.nodes.controller_node import ControllerNode
from snn_controller.nodes.ros.conversions import motors_from_message, odometry_to_message
from snn_controller.vehicle.action import Command
from snn_controller.vehicle.state import State, stamp_to_ns
from support.states import TICK_NS, hovering, sample

FIRST = 1_000_000_000


class Estimator(Node):
    """Sends odometry and keeps what the controller publishes."""

    def __init__(self) -> None:
        super().__init__("estimator")
        self.odometry = self.create_publisher(Odometry, "odom", QoSProfile(depth=10))
        self.goal = self.create_publisher(PoseStamped, "goal", 1)
        self.received: dict[str, list] = {}
        for kind, topic in (
            (JointState, "motors"),
            (DiagnosticArray, "/diagnostics"),
            (UInt8MultiArray, "snn_controller/spikes"),
            (Float32MultiArray, "snn_controller/membranes"),
        ):
            self.received[topic] = []
            self.create_subscription(kind, topic, self.received[topic].append, 100)

    def send(self, state: State, stamp: int, frame: str = "odom") -> None:
        self.odometry.publish(odometry_to_message(sample(state, stamp, frame)))

    @property
    def stamps(self) -> list[int]:
        return [stamp_to_ns(message.header.stamp) for message in self.received["motors"]]


class Graph:
    """A controller and an estimator on one executor."""

    def __init__(self, report: Path, parameters: tuple[str, ...]) -> None:
        # /clock is never published here, so the node's time stays zero and no sample is old
        fixed = ("use_sim_time:=true", "exit_when_done:=true", "plot:=false", f"report:={report}")
        given = {word.partition(":=")[0]: word for word in (*fixed, *parameters)}.values()
        rclpy.init(args=["--ros-args", *(word for p in given for word in ("-p", p))])
        self.controller = ControllerNode()
        self.estimator = Estimator()
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.controller)
        self.executor.add_node(self.estimator)
        self.report = report

    def activate(self) -> None:
        self.controller.trigger_configure()
        self.controller.trigger_activate()
        assert self.spin_until(lambda: self.estimator.odometry.get_subscription_count() == 1)

    def spin_until(self, condition: Callable[[], object], seconds: float = 10.0) -> bool:
        deadline = monotonic() + seconds
        while monotonic() < deadline and not condition():
            self.executor.spin_once(timeout_sec=0.02)
        return bool(condition())

    def tick(self, number: int, state: State | None = None) -> int:
        """Send odometry and wait for the answer to it."""
        stamp = FIRST + number * TICK_NS
        self.estimator.send(state or hovering(), stamp)
        assert self.spin_until(lambda: stamp in self.estimator.stamps)
        return stamp

    def last_command(self) -> Command:
        """Return the newest command once nothing more comes."""
        self.spin_until(lambda: False, seconds=0.2)
        command = motors_from_message(self.estimator.received["motors"][-1])
        assert command is not None
        return command

    def call(self, service: str) -> Trigger.Response:
        """Call one of the operator's services."""
        client = self.estimator.create_client(Trigger, f"/snn_controller/{service}")
        assert self.spin_until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        assert self.spin_until(answer.done)
        return answer.result()

    def read_report(self) -> dict:
        return json.loads((self.report / "report.json").read_text())

    def close(self) -> None:
        self.controller.close("test over")
        self.executor.shutdown()
        self.controller.destroy_node()
        self.estimator.destroy_node()
        rclpy.try_shutdown()
