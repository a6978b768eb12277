"""Latency of the controller node beside a bare rclpy echo of the same messages, in real time.

    python benchmarks/node_latency.py --rates 100 500 --seconds 20 --rounds 3 --json out.json

One process sends nav_msgs/Odometry at a fixed rate and measures until the sensor_msgs/JointState
with the same stamp comes back. The answer comes from the controller node with a policy for that
rate, or from an echo: the least any rclpy node can do with the same messages, QoS and executor. The
two take turns, so that a machine that slows down slows both. Needs the 'flight' extra; a policy for
other rates than 100 Hz is made by training/export.py --control-rate. The odometry hovers in place
but for a micrometre of noise: an estimate that never changes would count as frozen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, perf_counter

import numpy as np
import rclpy
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.utilities import ok
from sensor_msgs.msg import JointState

from snn_controller.nodes.ros.conversions import motors_to_message, odometry_to_message
from snn_controller.nodes.ros.main import make_executor
from snn_controller.vehicle.action import Command
from snn_controller.vehicle.state import Odometry, State, stamp_to_ns

WARM_UP = 2.0  # s that do not count: discovery, caches
PLACE = np.array([0.0, 0.0, 1.0])  # m, where it hovers
NOISE = 1e-6  # m


def main() -> None:
    """Measure every rate in turns and print one table."""
    parser = argparse.ArgumentParser(description="Node latency beside an echo.")
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0], help="Hz")
    parser.add_argument("--policies", nargs="+", default=[""], help="a policy file for each rate")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="turns of echo and node")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.echo:
        echo()
        return
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", "77")
    rows = []
    for rate, policy in zip(args.rates, args.policies, strict=True):
        for number in range(args.rounds):
            for subject in ("echo", "node"):
                figures = measure(subject, rate, policy, args.seconds)
                rows.append({"subject": subject, "rate_hz": rate, "round": number, **figures})
                print(format_row(rows[-1]), flush=True)
        print(format_ratio(rows, rate), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


def measure(subject: str, rate: float, policy: str, seconds: float) -> dict[str, float]:
    """Start a subject, drive it and return latency percentiles in ms and the answered share."""
    with tempfile.TemporaryDirectory() as folder:
        command = command_line(subject, rate, policy, seconds, folder)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            return drive(subject, rate, seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def command_line(subject: str, rate: float, policy: str, seconds: float, folder: str) -> list[str]:
    """Return how to start the echo or the controller node."""
    if subject == "echo":
        return [sys.executable, __file__, "--echo"]
    parameters = {
        "policy": policy or "''",
        "odometry_rate": rate,
        "duration": seconds + 60.0,
        "lockstep": "false",
        "plot": "false",
        "report": folder,
    }
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    module = "snn_controller.nodes.controller_node"
    return [sys.executable, "-m", module, "--ros-args", "--log-level", "warn", *words]


def drive(subject: str, rate: float, seconds: float) -> dict[str, float]:
    """Send odometry at a rate and measure the answers."""
    rclpy.init()
    node = Node("driver")
    try:
        if subject != "echo":
            module = "snn_controller.nodes.transition_node"
            words = ["/snn_controller", "configure", "activate"]
            subprocess.run([sys.executable, "-m", module, *words], check=True)
        sent, latencies = Driver(node).run(rate, seconds)
    finally:
        node.destroy_node()
        rclpy.shutdown()
    if not latencies:
        raise SystemExit(f"no answer from the {subject}; is something else in this ROS_DOMAIN_ID?")
    p50, p99 = np.percentile(np.array(latencies) * 1e3, [50, 99])
    return {
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": max(latencies) * 1e3,
        "answered": len(latencies) / sent,
    }


class Driver:
    """Sends odometry on a schedule and matches answers by stamp."""

    def __init__(self, node: Node) -> None:
        """Use the topics of a node."""
        self._node = node
        self._rng = np.random.default_rng(0)
        self._pending: dict[int, float] = {}
        self._latencies: list[float] = []
        self._publisher = node.create_publisher(OdometryMessage, "odom", qos_profile_sensor_data)
        node.create_subscription(JointState, "motors", self._on_motors, QoSProfile(depth=1))

    def run(self, rate: float, seconds: float) -> tuple[int, list[float]]:
        """Return how many samples were sent after the warm-up, and the latency of each answer."""
        executor = make_executor()
        executor.add_node(self._node)
        deadline = monotonic() + 20.0
        while self._publisher.get_subscription_count() == 0 and monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
        start, count, counted_from = perf_counter(), 0, None
        while (now := perf_counter() - start) < seconds + WARM_UP:
            if now >= count / rate:
                if now > WARM_UP and counted_from is None:
                    counted_from = count
                    self._latencies.clear()
                self._send()
                count += 1
            executor.spin_once(timeout_sec=max(0.0, count / rate - (perf_counter() - start)))
        executor.spin_once(timeout_sec=0.2)
        executor.remove_node(self._node)
        executor.shutdown()
        return count - (counted_from or 0), self._latencies

    def _send(self) -> None:
        stamp = self._node.get_clock().now().nanoseconds
        state = State.at_rest(self._rng.normal(PLACE, NOISE))
        message = odometry_to_message(Odometry(stamp, "odom", "base_link", state))
        self._pending[stamp] = perf_counter()
        self._publisher.publish(message)

    def _on_motors(self, message: JointState) -> None:
        sent = self._pending.pop(stamp_to_ns(message.header.stamp), None)
        if sent is not None:
            self._latencies.append(perf_counter() - sent)


def echo() -> None:
    """Answer every odometry message with a constant motor command."""
    rclpy.init()
    node = Node("echo")
    publisher = node.create_publisher(JointState, "motors", QoSProfile(depth=1))
    answer = motors_to_message(Command("motors", np.full(4, 0.5)), 0)

    def on_odometry(message: OdometryMessage) -> None:
        answer.header.stamp = message.header.stamp
        publisher.publish(answer)

    node.create_subscription(OdometryMessage, "odom", on_odometry, qos_profile_sensor_data)
    executor = make_executor()
    executor.add_node(node)
    with contextlib.suppress(ExternalShutdownException):
        while ok():
            executor.spin_once(timeout_sec=0.05)


def format_row(row: dict[str, float]) -> str:
    """Return one measurement as a line."""
    return (
        f"{row['rate_hz']:5g} Hz  round {row['round']}  {row['subject']:4s}"
        f"  p50 {row['p50_ms']:6.3f} ms  p99 {row['p99_ms']:6.3f} ms"
        f"  max {row['max_ms']:7.3f} ms  answered {row['answered']:6.1%}"
    )


def format_ratio(rows: list[dict[str, float]], rate: float) -> str:
    """Return the median over the rounds of the ratio node / echo."""

    def values(subject: str, name: str) -> np.ndarray:
        return np.array([r[name] for r in rows if (r["subject"], r["rate_hz"]) == (subject, rate)])

    ratios = [np.median(values("node", n) / values("echo", n)) for n in ("p50_ms", "p99_ms")]
    return f"{rate:5g} Hz  node / echo: p50 x {ratios[0]:.2f}, p99 x {ratios[1]:.2f}"


if __name__ == "__main__":
    main()
