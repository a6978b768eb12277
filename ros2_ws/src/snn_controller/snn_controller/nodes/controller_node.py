"""The controller: a managed node that answers odometry with motor commands.

Odometry triggers every tick; a wall timer polls the link and notices silence. The neuron state
lives in the policy across ticks and is reset when the policy takes over.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter, time_ns

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Imu

from snn_controller.flight import ControllerSettings, Flight, LinkDriver, prepare_flight
from snn_controller.flight_log import REPORT_FILE
from snn_controller.nodes.controller.command_link import (
    describe_link,
    open_command_link,
    poll_period,
)
from snn_controller.nodes.controller.conclusion import conclude
from snn_controller.nodes.controller.operator_services import OperatorServices
from snn_controller.nodes.controller.telemetry import Telemetry
from snn_controller.nodes.ros.lifecycle import ManagedNode, explained
from snn_controller.nodes.ros.main import run_node, steady_clock
from snn_controller.nodes.ros.parameters import declare_settings
from snn_controller.nodes.ros.qos import taking_odometry
from snn_controller.paths import check_writable, report_folder
from snn_controller.report import flight_info
from snn_controller.safety import GROUND_MODES, Event, Verdict
from snn_controller.vehicle import Array, FlightController, Odometry, odometry_from_message

SIMULATOR_PATIENCE = 10.0  # s of wall time without odometry before a simulator is given up


class ControllerNode(ManagedNode):
    """Flies one policy. configure loads and checks it, activate flies, deactivate stops."""

    def __init__(self) -> None:
        """Declare the parameters; nothing is loaded yet."""
        super().__init__("snn_controller")
        self.settings = declare_settings(self, ControllerSettings)
        self.launcher_pid = self.settings.launcher_pid
        self._flight: Flight | None = None
        self._link: FlightController | None = None
        self._active = False
        if self.settings.exit_when_done:
            self.expect_launcher()

    @explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and check the policy and everything else that flying needs."""
        settings = self.settings
        self.await_nodes(settings.await_nodes)
        kinds, has_pilot = describe_link(settings.link)
        self._flight = prepare_flight(
            settings, kinds, has_pilot=has_pilot, warn=self.get_logger().warning
        )
        self._folder = self._new_folder()
        check_writable(self._folder)
        self._link = open_command_link(self, settings, self._flight.policy.metadata.action_kind)
        self._driver = LinkDriver(self._link)
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
        assert self._flight is not None
        if (self._folder / REPORT_FILE).exists():  # of the flight before: keep it, unless named
            self._folder = self._new_folder()
        self._flight.begin()
        self._answered = -1  # ns, stamp of the newest odometry answered
        self._arrival = perf_counter()
        self._last_tick: float | None = None
        self._ticks = 0
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._now = self._clock_reader()
        self._timeout = round(self.settings.odometry_timeout * 1e9)  # ns
        self._specific_force: Array | None = None
        self._telemetry.begin(self._flight, flight_info(self._flight.policy, self.settings))
        self._active = True
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
        period = poll_period(self.settings)
        self._watchdog = self.create_timer(period, self._watch, clock=steady_clock())
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
        if self._active and self._flight is not None:
            self._driver.answer(
                self._flight, self._flight.stop(Verdict("ended", reason)), max(self._answered, 0)
            )
            self._end_flight()
        if self._link is not None:
            self._link.release()

    def _new_folder(self) -> Path:
        return report_folder(self.settings.report, self.settings.task, self.settings.seed)

    def _clock_reader(self) -> Callable[[], int]:
        """Return how to read the time in ns: a node's clock is slow, and needed for /clock only."""
        if self._simulated:
            return lambda: self.get_clock().now().nanoseconds
        return time_ns

    def _time_at(self, stamp: int) -> int:
        """Return the time in ns at which odometry with this stamp has come."""
        now = self._now()
        # A simulator's clock may come after the odometry that it belongs to, or not yet at all.
        late = self._simulated and (now == 0 or stamp - now < SIMULATOR_PATIENCE * 1e9)
        return max(now, stamp) if late else now

    def _on_odometry(self, message: OdometryMessage) -> None:
        arrival = perf_counter()
        self._answer(odometry_from_message(message), arrival)

    def _answer(self, odometry: Odometry, arrival: float) -> None:
        """Answer one odometry sample that came at a time of `perf_counter`."""
        if not self._active or odometry.stamp < self._answered:
            return  # late or out of order: a newer sample has been answered
        assert self._flight is not None
        flight, driver = self._flight, self._driver
        if odometry.stamp == self._answered:  # sent again because our answer was lost
            driver.answer(flight, flight.command, odometry.stamp)
            return
        if flight.mode in GROUND_MODES and self._specific_force is not None:
            odometry = replace(odometry, specific_force=self._specific_force)
        self._arrival = arrival
        now = self._time_at(odometry.stamp)
        if odometry.stamp <= now + self._timeout:  # a stamp far ahead must not outdate what follows
            self._answered = odometry.stamp
        driver.answer(flight, flight.tick(odometry, now), odometry.stamp)
        latency = perf_counter() - arrival
        if flight.log.count > self._ticks:  # not for samples between two ticks
            self._ticks = flight.log.count
            self._after_tick(flight, arrival, latency)

    def _after_tick(self, flight: Flight, arrival: float, latency: float) -> None:
        """Do what may take time: the command is out."""
        self._driver.poll(flight, self._now())
        period = None if self._last_tick is None else arrival - self._last_tick
        flight.log.append_timing(period=period, latency=latency)
        self._last_tick = arrival
        self._telemetry.tell(flight)
        self._finish_if_over(flight)

    def _ask(self, event: Event) -> str | None:
        """Do what the operator asks for, or return the sentence that refuses it."""
        if not self._active or self._flight is None:
            return f"'{event.value}' is refused: activate the controller first"
        flight, stamp = self._flight, max(self._answered, 0)
        reason = flight.request(event, self._time_at(stamp))
        self._driver.answer(flight, flight.command, stamp)
        self._telemetry.announce(flight)
        self._finish_if_over(flight)
        return reason

    def _on_imu(self, message: Imu) -> None:
        """Keep what an accelerometer says, which is held against gravity before arming."""
        force = message.linear_acceleration
        self._specific_force = np.array([force.x, force.y, force.z])

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

    def _watch(self) -> None:
        """Poll the link; notice that odometry never came, or stopped coming."""
        if not self._active:
            return
        assert self._flight is not None
        self._driver.poll(self._flight, self._now())
        odometry = self._driver.take_odometry()
        if odometry is not None:
            self._answer(odometry, perf_counter())
        self._finish_if_over(self._flight)
        if not self._active:
            return
        seconds = perf_counter() - self._arrival
        if self._answered < 0:
            self._await_odometry(seconds)
            return
        if self._simulated and seconds < SIMULATOR_PATIENCE:
            # A simulator may stall, and its time with it: only its own clock can say that odometry
            # is missing. A clock that stands still for long is a simulator that is gone.
            seconds = (self._now() - self._answered) * 1e-9
        if seconds > self.settings.odometry_timeout:
            self._on_silence(self._flight, seconds)

    def _await_odometry(self, seconds: float) -> None:
        assert self._flight is not None
        if seconds > self.settings.startup_timeout and self._flight.plan.auto_start:
            topic = self.resolve_topic_name("odom")
            reason = (
                f"no odometry on {topic} for {seconds:.0f} s; is the simulator or the"
                " estimator running, and is its topic remapped to this one?"
            )
            self._flight.stop(Verdict("silence", reason))
            self._finish()

    def _on_silence(self, flight: Flight, seconds: float) -> None:
        now = max(self._now(), self._answered + round(seconds * 1e9))
        self._driver.answer(flight, flight.silence(seconds, now), now)
        self._telemetry.announce(flight)
        self._finish_if_over(flight)

    def _finish_if_over(self, flight: Flight) -> None:
        if self._active and self._driver.has_ended(flight):
            self._finish()

    def _finish(self) -> None:
        """End a flight that is over; under a launcher the process ends with it."""
        self.trigger_deactivate()

    def _end_flight(self) -> None:
        """Stop the motors first, then report. Safe to call twice."""
        if not self._active or self._flight is None:
            return
        self._active = False
        gc.enable()
        self._driver.close()
        self.destroy_timer(self._watchdog)
        for subscription in self._subscriptions_in_flight:
            self.destroy_subscription(subscription)
        self._telemetry.conclude(self._flight)
        code = conclude(self._flight, self.settings, self._folder, self.get_logger())
        if self.settings.exit_when_done:
            self.exit_code = code


def main() -> None:
    """Run the controller node."""
    sys.exit(run_node(ControllerNode))


if __name__ == "__main__":
    main()
