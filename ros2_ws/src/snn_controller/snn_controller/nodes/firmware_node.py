"""The real Betaflight firmware with our drone as its body: odometry out, MSP on a local port.

Start it for `link:=betaflight`; `endpoint:=sitl` does. One runs in a network namespace.
"""

from __future__ import annotations

import sys
from time import time_ns

import rclpy
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data

from sim.betaflight_firmware import obtain_firmware
from sim.betaflight_sitl import BetaflightSitl
from snn_controller.nodes.messages import odometry_to_message
from snn_controller.nodes.node_main import run_node, steady_clock
from snn_controller.nodes.ownership import TopicClaim
from snn_controller.nodes.parameters import declare_settings
from snn_controller.settings import GraphSettings
from snn_controller.state import Odometry

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
        self._claim = TopicClaim(self, "odom", "odometry")
        self._sitl = BetaflightSitl(obtain_firmware(), self.settings.airframe)
        self._odometry = self.create_publisher(OdometryMessage, "odom", qos_profile_sensor_data)
        self.create_timer(1.0 / self.settings.odometry_rate, self._publish, clock=steady_clock())
        self._ready = rclpy.create_node(READY_NAME, use_global_arguments=False)

    def close(self, reason: str) -> None:
        """End the firmware."""
        self._claim.release()
        self._sitl.close()

    def _publish(self) -> None:
        odometry = Odometry(
            time_ns(),
            self.settings.world_frame,
            self.settings.body_frame,
            self._sitl.plant.snapshot().state,
        )
        self._odometry.publish(odometry_to_message(odometry))


def main() -> None:
    """Run the firmware node."""
    sys.exit(run_node(FirmwareNode))


if __name__ == "__main__":
    main()
