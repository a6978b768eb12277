"""The simulator: one drone behind topics, in lockstep with its controller or in real time.

Lockstep: time advances one step per command that carries the stamp of the odometry it answers;
odometry is sent again until then, so a lost message costs time and never the flight. Real time: a
timer steps with the newest command, and motors stop when commands fall silent. In both, time stands
still until the first command, so that a flight begins where its start says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import sleep

from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState

from snn_controller.flight import SimulatorSettings
from snn_controller.nodes.controller.command_topics import (
    ARRIVAL_TIME,
    MOTORS_TOPIC,
    THRUST_RATES_TOPIC,
)
from snn_controller.nodes.ros.conversions import (
    motors_from_message,
    ns_to_stamp,
    odometry_to_message,
    thrust_rates_from_message,
)
from snn_controller.nodes.ros.main import TopicClaim, run_node, steady_clock
from snn_controller.nodes.ros.parameters import declare_settings
from snn_controller.nodes.ros.qos import Audience, publishing_commands, publishing_odometry
from snn_controller.vehicle import Command, Odometry, stamp_to_ns
from snn_sim.bullet import Simulation

START_TIME = 1_000_000_000  # ns; zero would mean "no time yet" to ROS
RESEND_PERIOD = 0.05  # s of wall time after which unanswered odometry is sent again
DISCOVERY_TIME = 0.5  # s, to see a simulator that runs already


class SimulatorNode(Node):
    """Publishes /clock, odometry and TF; takes motor or thrust-and-rates commands."""

    def __init__(self) -> None:
        """Create the world and publish its start.

        Raises:
            UserError: A parameter, PyBullet or the display is at fault, or one runs already.
        """
        super().__init__("simulator")
        self.exit_code: int | None = None
        self.settings = declare_settings(self, SimulatorSettings)
        self.launcher_pid = self.settings.launcher_pid
        self._simulation = Simulation(self.settings)
        sleep(DISCOVERY_TIME)
        self._claims = [
            TopicClaim(self, "odom", "odometry"),
            TopicClaim(self, "/clock", "the time"),
        ]
        self._step_ns = round(1e9 / self.settings.odometry_rate)
        self._stamp = START_TIME
        self._command: Command | None = None
        self._command_stamp = START_TIME
        self._create_topics()
        self._sent_at = 0
        self._publish()

    def close(self, reason: str) -> None:
        """Close the world, once everybody has heard of its end."""
        if self.settings.lockstep:
            self._odometry.wait_for_all_acked(ARRIVAL_TIME)
        self._simulation.close()
        for claim in self._claims:
            claim.release()

    def _create_topics(self) -> None:
        lockstep = self.settings.lockstep
        qos = publishing_odometry(lockstep=lockstep)
        self._odometry = self.create_publisher(OdometryMessage, "odom", qos)
        self._audience = Audience(self._odometry, self.settings.listeners)
        qos = publishing_commands(lockstep=lockstep)
        self._clock = self.create_publisher(ClockMessage, "/clock", qos)
        self._transforms = _transform_broadcaster(self)
        self.create_subscription(JointState, MOTORS_TOPIC, self._on_motors, 1)
        self.create_subscription(TwistStamped, THRUST_RATES_TOPIC, self._on_thrust_rates, 1)
        self._steady = steady_clock()
        if lockstep:
            self.create_timer(RESEND_PERIOD, self._resend, clock=self._steady)
        else:
            period = 1.0 / self.settings.odometry_rate
            self.create_timer(period, self._on_period, clock=self._steady)

    def _on_motors(self, message: JointState) -> None:
        command = motors_from_message(message)
        if command is None:
            self.get_logger().warning(
                "motor command ignored: it must give a position for each of m1, m2, m3, m4",
                throttle_duration_sec=1.0,
            )
            return
        self._take(command, stamp_to_ns(message.header.stamp))

    def _on_thrust_rates(self, message: TwistStamped) -> None:
        self._take(thrust_rates_from_message(message), stamp_to_ns(message.header.stamp))

    def _take(self, command: Command, stamp: int) -> None:
        if not self.settings.lockstep:
            self._command, self._command_stamp = command, self._stamp
        elif stamp == self._stamp and self._audience.is_complete():
            self._advance(command)  # an older stamp answers odometry that was sent twice

    def _advance(self, command: Command | None) -> None:
        self._simulation.step(command)
        self._stamp += self._step_ns
        self._publish()

    def _resend(self) -> None:
        """Send unanswered odometry again."""
        if self._steady.now().nanoseconds - self._sent_at > RESEND_PERIOD * 0.9e9:
            self._publish()

    def _on_period(self) -> None:
        """Step in real time; without a first command time stands still."""
        if self._command is None:
            self._publish()
            return
        silent = (self._stamp - self._command_stamp) * 1e-9 > self.settings.command_timeout
        if silent and not self._command.stop:
            self.get_logger().warning("commands have stopped coming: motors off", once=True)
        self._advance(None if silent else self._command)

    def _publish(self) -> None:
        odometry = Odometry(
            self._stamp,
            self.settings.world_frame,
            self.settings.body_frame,
            self._simulation.state,
        )
        self._clock.publish(ClockMessage(clock=ns_to_stamp(self._stamp)))
        message = odometry_to_message(odometry)
        self._odometry.publish(message)
        if self._transforms is not None:
            self._transforms(message)
        self._sent_at = self._steady.now().nanoseconds


def _transform_broadcaster(node: Node) -> Callable[[OdometryMessage], None] | None:
    """Return a function that publishes odometry as TF, or None where tf2_msgs is not installed."""
    try:
        from tf2_msgs.msg import TFMessage  # pyright: ignore[reportMissingImports]
    except ImportError:
        node.get_logger().info("tf2_msgs is not installed: no TF is published")
        return None
    from geometry_msgs.msg import TransformStamped

    publisher = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))

    def broadcast(message: OdometryMessage) -> None:
        transform = TransformStamped(header=message.header, child_frame_id=message.child_frame_id)
        position = message.pose.pose.position
        translation = transform.transform.translation
        translation.x, translation.y, translation.z = position.x, position.y, position.z
        transform.transform.rotation = message.pose.pose.orientation
        publisher.publish(TFMessage(transforms=[transform]))

    return broadcast


def main() -> None:
    """Run the simulator node."""
    sys.exit(run_node(SimulatorNode))


if __name__ == "__main__":
    main()
