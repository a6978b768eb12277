"""The controller: a managed node that answers odometry with motor commands.

What it does with odometry, silence and the link is the control loop's; here are lifecycle, topics,
parameters, telemetry and report. Odometry triggers every tick; a wall timer lets the loop watch.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from time import perf_counter_ns, time_ns

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Imu

from snn_controller.flight import Clocks, ControllerSettings, ControlLoop, Flight, prepare_flight
from snn_controller.flight_controllers import LINKS, open_link
from snn_controller.flight_log import REPORT_FILE
from snn_controller.nodes.controller.finish import finish_flight
from snn_controller.nodes.controller.operator_services import OperatorServices
from snn_controller.nodes.controller.pose_relay import PoseRelay
from snn_controller.nodes.controller.telemetry import Telemetry
from snn_controller.nodes.ros.lifecycle import ManagedNode, explained
from snn_controller.nodes.ros.main import run_node, steady_clock
from snn_controller.nodes.ros.parameters import declare_settings
from snn_controller.nodes.ros.qos import taking_odometry
from snn_controller.paths import check_writable, report_folder
from snn_controller.report import flight_info
from snn_controller.safety import Event
from snn_controller.vehicle import ActionKind, FlightController, odometry_from_message

TELEMETRY_PERIOD = 0.2  # s between looks at whether diagnostics are due without a tick
NOT_MEASURED = -1.0  # first number of a covariance in sensor_msgs/Imu: that part says nothing


class ControllerNode(ManagedNode):
    """Flies one policy. configure loads and checks it, activate flies, deactivate stops."""

    def __init__(self) -> None:
        """Declare the parameters; nothing is loaded yet."""
        super().__init__("snn_controller")
        self.settings = declare_settings(self, ControllerSettings)
        self.launcher_pid = self.settings.launcher_pid
        self._flight: Flight | None = None
        self._link: FlightController | None = None
        self._loop: ControlLoop | None = None  # while active
        if self.settings.exit_when_done:
            self.expect_launcher()

    @explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and check the policy and everything else that flying needs."""
        settings = self.settings
        self.await_nodes(settings.await_nodes)
        self._flight = prepare_flight(settings, warn=self.get_logger().warning)
        self._folder = self._new_folder()
        check_writable(self._folder)
        self._link = self._open_link(settings, self._flight.policy.metadata.action_kind)
        self._telemetry = Telemetry(self, settings)
        self._operator = OperatorServices(self, self._ask)
        metadata = self._flight.policy.metadata
        self.get_logger().info(
            f"policy {self._flight.policy.path.name} {self._flight.policy.sha256[:12]}:"
            f" {metadata.action_kind} at {metadata.control_rate:g} Hz for {metadata.airframe}"
        )
        return super().on_configure(state)

    @explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Reset the neuron state and answer odometry from now on."""
        assert self._flight is not None and self._link is not None
        if (self._folder / REPORT_FILE).exists():  # of the flight before: keep it, unless named
            self._folder = self._new_folder()
        self._flight.begin()
        self._telemetry.begin(self._flight, flight_info(self._flight.policy, self.settings))
        self._loop = ControlLoop(
            self._flight,
            self._link,
            self._clocks(),
            startup_timeout=self.settings.startup_timeout,
            source=self.resolve_topic_name("odom"),
            tell=self._telemetry.tell,
            announce=self._telemetry.announce,
            finish=self.trigger_deactivate,  # under a launcher the process ends with it
        )
        # A flight makes no cycles, only a growing log that the collector would walk again and
        # again: pauses of 0.3 s after ten minutes. Counting references is enough meanwhile.
        gc.collect()
        gc.disable()
        quality = taking_odometry(lockstep=self.settings.lockstep)
        self._subscriptions_in_flight = [
            self.create_subscription(OdometryMessage, "odom", self._on_odometry, quality),
            self.create_subscription(PoseStamped, "goal", self._on_goal, 1),
            self.create_subscription(Imu, "imu", self._on_imu, qos_profile_sensor_data),
        ]
        period = LINKS[self.settings.link].poll_period(self.settings)
        self._timers_in_flight = [
            self.create_timer(period, self._loop.watch, clock=steady_clock()),
            self.create_timer(TELEMETRY_PERIOD, self._watch_telemetry, clock=steady_clock()),
        ]
        return super().on_activate(state)

    @explained
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the motors and write the report of the flight."""
        self._end_flight()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the policy and leave its topics to others."""
        if self._link is not None:
            self._link.release()
        self._flight = self._link = None
        self._telemetry.release()
        self._operator.release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the motors."""
        self._end_flight()
        return super().on_shutdown(state)

    def close(self, reason: str) -> None:
        """End the flight from outside: motors stopped, report written."""
        if self._loop is not None:
            self._loop.stop(reason)
            self._end_flight()
        if self._link is not None:
            self._link.release()

    def _open_link(self, settings: ControllerSettings, kind: ActionKind) -> FlightController:
        link = open_link(settings.link, settings, node=self, kind=kind)
        if not LINKS[settings.link].simulated:
            if settings.external_pose:
                PoseRelay(self, link, settings.world_frame)
            self.get_logger().info(f"link {settings.link}: {link.description}")
        return link

    def _new_folder(self) -> Path:
        return report_folder(self.settings.report, self.settings.task, self.settings.seed)

    def _clocks(self) -> Clocks:
        """Return how to tell the time: a node's clock is slow, and needed for /clock only."""
        if self.get_parameter("use_sim_time").value:
            return Clocks(now=lambda: self.get_clock().now().nanoseconds, simulated=True)
        return Clocks(now=time_ns)

    def _on_odometry(self, message: OdometryMessage) -> None:
        arrival = perf_counter_ns()
        if self._loop is not None:
            self._loop.answer(odometry_from_message(message), arrival)

    def _watch_telemetry(self) -> None:
        if self._loop is not None:
            self._telemetry.watch(self._loop.flight, self._loop.seconds_without_odometry)

    def _ask(self, event: Event) -> str | None:
        """Do what the operator asks for, or return the sentence that refuses it."""
        if self._loop is None:
            return f"'{event.value}' is refused: activate the controller first"
        return self._loop.ask(event)

    def _on_imu(self, message: Imu) -> None:
        """Keep what an accelerometer says, which is held against gravity before arming."""
        if self._loop is None or message.linear_acceleration_covariance[0] == NOT_MEASURED:
            return
        force = message.linear_acceleration
        self._loop.specific_force = np.array([force.x, force.y, force.z])

    def _on_goal(self, message: PoseStamped) -> None:
        assert self._flight is not None
        frame = message.header.frame_id
        if frame != self.settings.world_frame:
            self.get_logger().warning(
                f"goal in frame '{frame}' ignored; send it in '{self.settings.world_frame}'"
            )
            return
        position = message.pose.position
        reason = self._flight.set_goal(np.array([position.x, position.y, position.z]))
        if reason is not None:
            self.get_logger().warning(reason)

    def _end_flight(self) -> None:
        """Stop the motors first, then report. Safe to call twice."""
        if self._loop is None or self._flight is None:
            return
        loop, self._loop = self._loop, None
        gc.enable()
        loop.close()
        for timer in self._timers_in_flight:
            self.destroy_timer(timer)
        for subscription in self._subscriptions_in_flight:
            self.destroy_subscription(subscription)
        self._telemetry.finish(self._flight)
        code = finish_flight(self._flight, self.settings, self._folder, self.get_logger())
        if self.settings.exit_when_done:
            self.exit_code = code


def main() -> None:
    """Run the controller node."""
    sys.exit(run_node(ControllerNode))


if __name__ == "__main__":
    main()
