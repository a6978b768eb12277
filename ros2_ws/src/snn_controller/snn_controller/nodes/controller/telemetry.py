"""What the controller tells about a flight: diagnostics, progress, spikes, membranes, every tick.

From the ticks and the facts of a flight it can be judged, replayed and learned from. The facts are
kept for listeners that come late; ticks cost nothing while nobody listens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from time import monotonic, sleep
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import (
    Float32MultiArray,
    Float64MultiArray,
    MultiArrayDimension,
    MultiArrayLayout,
    String,
    UInt8MultiArray,
)

from snn_controller.flight import ControllerSettings, Flight
from snn_controller.flight_log import FlightLog, Tick, tick_fields, tick_row
from snn_controller.nodes.ros.conversions import (
    membranes_to_message,
    ns_to_stamp,
    spikes_to_message,
)
from snn_controller.nodes.ros.qos import LOCKSTEP_HISTORY, Audience
from snn_controller.report import dashboard_line

LONGEST_SILENCE = 1.0  # s of wall time without odometry beyond which diagnostics say so
WINDOW = 100  # ticks that percentiles and rates look back on


def diagnose(flight: Flight, name: str, now: int, silence: float = 0.0) -> DiagnosticArray:
    """Return the statuses of a flight at a time in ns, after some s without odometry."""
    ticks = flight.log.ticks[-WINDOW:]
    array = DiagnosticArray(
        status=[
            _mode(flight, name, silence),
            _timing(flight.log, ticks, name),
            _neurons(ticks, name),
        ]
    )
    array.header.stamp = ns_to_stamp(now)
    return array


def _mode(flight: Flight, name: str, silence: float) -> DiagnosticStatus:
    level, reasons = DiagnosticStatus.OK, []
    if silence > LONGEST_SILENCE:
        level = DiagnosticStatus.WARN
        reasons.append(f"no new odometry for {silence:.1f} s; check its sender and the link")
    if flight.verdict is not None:
        level = DiagnosticStatus.ERROR
        reasons.insert(0, flight.verdict.reason)
    tick = flight.log.ticks[-1] if flight.log.ticks else None
    error = math.nan
    if tick is not None:
        error = float(np.linalg.norm(tick.state.position - tick.reference.position))
    return _status(
        f"{name}: flight",
        level,
        f"{flight.mode.value}: {'; '.join(reasons) or 'ok'}",
        {"time_s": flight.time, "position_error_m": error},
    )


def _timing(log: FlightLog, ticks: Sequence[Tick], name: str) -> DiagnosticStatus:
    missed = sum(tick.missed for tick in ticks)
    level = DiagnosticStatus.WARN if missed else DiagnosticStatus.OK
    values = {
        **_percentiles("tick_period_ms", log.periods[-WINDOW:]),
        **_percentiles("latency_ms", log.latencies[-WINDOW:]),
        "missed_ticks": missed,
    }
    return _status(f"{name}: timing", level, f"{missed} missed ticks", values)


def _neurons(ticks: Sequence[Tick], name: str) -> DiagnosticStatus:
    flown = [tick for tick in ticks if tick.spikes]
    values = {
        f"spike_rate_{layer}": float(np.mean([tick.spikes[layer].mean() for tick in flown]))
        for layer in (flown[0].spikes if flown else ())
    }
    values["synaptic_ops_per_tick"] = (
        float(np.mean([tick.synaptic_ops for tick in flown])) if flown else 0.0
    )
    return _status(f"{name}: neurons", DiagnosticStatus.OK, "ok", values)


def _percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return {f"{name}_p50": p50, f"{name}_p99": p99, f"{name}_max": max(seconds) * 1e3}


def _status(name: str, level: bytes, message: str, values: dict[str, float]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=f"{value:.6g}") for key, value in values.items()]
    return DiagnosticStatus(name=name, hardware_id=name, level=level, message=message, values=pairs)


TICK_TOPIC = "~/tick"
INFO_TOPIC = "~/flight_info"
ARRIVAL_TIME = Duration(seconds=0.5)  # patience with a listener that does not acknowledge


class TickTopic:
    """Publishes the facts of a flight when it begins, and every tick that its log has got."""

    def __init__(self, node: Node, listeners: int) -> None:
        """Create the publishers; wait for a number of listeners, who are to miss no tick."""
        self._node = node
        lasting = DurabilityPolicy.TRANSIENT_LOCAL
        self._info = node.create_publisher(
            String, INFO_TOPIC, QoSProfile(depth=1, durability=lasting)
        )
        self._ticks = node.create_publisher(
            Float64MultiArray, TICK_TOPIC, QoSProfile(depth=LOCKSTEP_HISTORY)
        )
        self._message = Float64MultiArray()
        self._layers: tuple[str, ...] = ()
        self._flights = self._sent = 0
        audience = Audience(self._ticks, listeners)
        while not audience.is_complete():
            sleep(0.01)

    def begin(self, info: Mapping[str, Any]) -> None:
        """Tell the facts of a flight that begins; `info` is fit for JSON."""
        self._flights += 1
        self._sent = 0
        self._layers = tuple(info["layers"])
        self._message.layout = _layout(self._layers)
        self._info.publish(String(data=json.dumps({**info, "flight": self._flights})))

    def tell(self, flight: Flight, *, latency: float = math.nan) -> None:
        """Publish the ticks that have not been published yet; `latency` in s is the last one's."""
        log = flight.log
        fresh, self._sent = log.count - self._sent, log.count
        if fresh <= 0 or self._ticks.get_subscription_count() == 0:
            return
        for back in range(min(fresh, len(log.ticks)), 0, -1):
            self._message.data = tick_row(
                log.ticks[-back],
                flight=self._flights,
                index=log.count - back,
                latency=latency if back == 1 else math.nan,
                layers=self._layers,
            )
            self._ticks.publish(self._message)

    def finish(self, flight: Flight) -> None:
        """Publish what is left when a flight is over, and let it arrive."""
        self.tell(flight)
        self._ticks.wait_for_all_acked(ARRIVAL_TIME)

    def release(self) -> None:
        """Destroy the publishers."""
        self._node.destroy_publisher(self._ticks)
        self._node.destroy_publisher(self._info)


def _layout(layers: Sequence[str]) -> MultiArrayLayout:
    return MultiArrayLayout(
        dim=[
            MultiArrayDimension(label=name, size=size, stride=size)
            for name, size in tick_fields(layers)
        ]
    )


STATUS_PERIOD = 1.0  # s of flight between diagnostics, or of wall time where flight time stands


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
        self._progress_time = self._told_status = monotonic()
        self._told_silence = False
        self._announced = flight.mode

    def release(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._diagnostics, self._spikes, self._membranes):
            self._node.destroy_publisher(publisher)
        self._ticks.release()

    def finish(self, flight: Flight) -> None:
        """Tell the rest of a flight that is over."""
        self._ticks.finish(flight)

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

    def watch(self, flight: Flight, silence: float) -> None:
        """Publish diagnostics that no tick has; `silence` is wall time in s without odometry.

        Call it several times a second: a silence that begins or ends is told at once.
        """
        silent = silence > LONGEST_SILENCE
        due = monotonic() - self._told_status >= STATUS_PERIOD
        if due or silent is not self._told_silence:
            self._told_silence = silent
            self._status_time = flight.time  # the next tick need not tell it again
            self._diagnose(flight, silence)

    def _diagnose(self, flight: Flight, silence: float = 0.0) -> None:
        self._told_status = monotonic()
        now = self._node.get_clock().now().nanoseconds
        self._diagnostics.publish(diagnose(flight, self._node.get_name(), now, silence))

    def _tell_progress(self, flight: Flight) -> None:
        """Show the dashboard, paced by the wall clock: in lockstep time flies."""
        if (
            self._progress_period > 0.0
            and monotonic() - self._progress_time >= self._progress_period
        ):
            self._progress_time = monotonic()
            line = dashboard_line(flight.log, flight.plan.duration, flight.since)
            self._node.get_logger().info(f"progress: {line}")
