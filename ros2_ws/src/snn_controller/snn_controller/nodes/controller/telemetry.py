"""What the controller tells about a flight: diagnostics, progress lines, spikes, membranes."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_msgs.msg import Float32MultiArray, UInt8MultiArray

from snn_controller.flight import ControllerSettings, Flight
from snn_controller.nodes.controller.diagnostics import diagnose
from snn_controller.nodes.controller.tick_topic import TickTopic
from snn_controller.nodes.ros.conversions import membranes_to_message, spikes_to_message
from snn_controller.report import dashboard_line

STATUS_PERIOD = 1.0  # s of flight between diagnostics


class Telemetry:
    """Publishers and their pace; everything is sent after the command of its tick."""

    def __init__(self, node: Node, settings: ControllerSettings) -> None:
        """Create the publishers; listeners that must hear every tick are waited for."""
        self._node = node
        self._ticks = TickTopic(node, settings.tick_listeners)
        self._neuron_rate = settings.neuron_rate
        self._progress_period = settings.progress_period
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._spikes = node.create_publisher(UInt8MultiArray, "~/spikes", 1)
        self._membranes = node.create_publisher(Float32MultiArray, "~/membranes", 1)

    def begin(self, flight: Flight, info: Mapping[str, Any]) -> None:
        """Start the pace of a flight and tell its facts."""
        self._ticks.begin(info)
        self._status_time = self._neuron_time = 0.0
        self._progress_time = monotonic()
        self._announced = flight.mode

    def release(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._diagnostics, self._spikes, self._membranes):
            self._node.destroy_publisher(publisher)
        self._ticks.release()

    def conclude(self, flight: Flight) -> None:
        """Tell the rest of a flight that is over."""
        self._ticks.conclude(flight)

    def tell(self, flight: Flight) -> None:
        """Tell what is due after a tick."""
        self._ticks.tell(flight, latency=flight.log.latencies[-1])
        rate = self._neuron_rate
        if rate > 0.0 and flight.time - self._neuron_time >= 1.0 / rate - 1e-6:
            self._neuron_time = flight.time
            self._spikes.publish(spikes_to_message(flight.policy.spikes))
            self._membranes.publish(membranes_to_message(flight.policy.membranes))
        if flight.time - self._status_time >= STATUS_PERIOD - 1e-6:
            self._status_time = flight.time
            self._diagnose(flight)
        self._tell_progress(flight)
        self.announce(flight)

    def announce(self, flight: Flight) -> None:
        """Say at once, and not only with the next status, that the policy is not in control."""
        self._ticks.tell(flight)
        if flight.mode is self._announced:
            return
        self._announced = flight.mode
        if flight.verdict is not None:
            self._node.get_logger().warning(f"{flight.mode.value}: {flight.verdict.reason}")
            self._diagnose(flight)

    def _diagnose(self, flight: Flight) -> None:
        now = self._node.get_clock().now().nanoseconds
        self._diagnostics.publish(diagnose(flight, self._node.get_name(), now))

    def _tell_progress(self, flight: Flight) -> None:
        """Show the dashboard, paced by the wall clock: in lockstep time flies."""
        if (
            self._progress_period > 0.0
            and monotonic() - self._progress_time >= self._progress_period
        ):
            self._progress_time = monotonic()
            line = dashboard_line(flight.log, flight.plan.duration, flight.since)
            self._node.get_logger().info(f"progress: {line}")
