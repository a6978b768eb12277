"""The real Betaflight firmware with our drone as its body: odometry out, MSP on a local port.

Start it for `link:=betaflight`; `endpoint:=sitl` does. One runs in a network namespace. What the
firmware lets the motors do is told on `motors`, as long as they turn and once when they stop.
"""

from __future__ import annotations

import sys
from time import time_ns

import rclpy
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState

from snn_controller.flight import GraphSettings
from snn_controller.nodes.controller.command_topics import MOTORS_TOPIC
from snn_controller.nodes.ros.conversions import motors_to_message, odometry_to_message
from snn_controller.nodes.ros.main import NodeClaim, TopicClaim, run_node, steady_clock
from snn_controller.nodes.ros.parameters import declare_settings
from snn_controller.nodes.ros.qos import publishing_commands
from snn_controller.vehicle import Array, Command, Odometry
from snn_sim.betaflight import BetaflightSitl, obtain_firmware

READY_NAME = "firmware_ready"  # a node of this name appears once the firmware runs


class FirmwareNode(Node):
    """Publishes the true state of a drone that Betaflight flies, in real time."""

    def __init__(self) -> None:
        """Start the firmware, building it on first use.

        Raises:
            UserError: It cannot be built or does not come up, or odometry is published already.
        """
        super().__init__("firmware")
        self.exit_code: int | None = None
        self.settings = declare_settings(self, GraphSettings)
        self.launcher_pid = self.settings.launcher_pid
        self._claims: list[NodeClaim | TopicClaim] = [
            TopicClaim(self, "odom", "odometry"),
            TopicClaim(self, MOTORS_TOPIC, "commands"),
        ]
        self._sitl = BetaflightSitl(obtain_firmware(), self.settings.airframe)
        self._odometry = self.create_publisher(OdometryMessage, "odom", qos_profile_sensor_data)
        self._motors = self.create_publisher(
            JointState, MOTORS_TOPIC, publishing_commands(lockstep=False)
        )
        self._turning = False
        self.create_timer(1.0 / self.settings.odometry_rate, self._publish, clock=steady_clock())
        self._ready = rclpy.create_node(READY_NAME, use_global_arguments=False)
        self._claims.append(NodeClaim(self._ready))  # a health check sees it without discovery

    def close(self, reason: str) -> None:
        """End the firmware."""
        for claim in self._claims:
            claim.release()
        self._sitl.close()

    def _publish(self) -> None:
        settings, now, drone = self.settings, time_ns(), self._sitl.plant.snapshot()
        odometry = Odometry(now, settings.world_frame, settings.body_frame, drone.state)
        self._odometry.publish(odometry_to_message(odometry))
        self._tell_motors(drone.throttle, now)

    def _tell_motors(self, throttle: Array, now: int) -> None:
        was_turning, self._turning = self._turning, bool(throttle.any())
        if self._turning or was_turning:
            command = Command("motors", throttle, stop=not self._turning)
            self._motors.publish(motors_to_message(command, now))


def main() -> None:
    """Run the firmware node."""
    sys.exit(run_node(FirmwareNode))


if __name__ == "__main__":
    main()
