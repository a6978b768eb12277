"""The Crazyflie link with stock cflib against the firmware's double on UDP, in real time.

    pip install '.[crazyflie]'
    python benchmarks/crazyflie_link.py --hover 30 --cuts 5 --frames 100000 --json FILE

Three parts: a hover from the ground with a push in the middle, the guide in closed loop; a link
that is cut in flight, again and again; damaged frames into cflib's receiving side, while nothing
may move. The double runs in a thread of this process, so latencies hold for a busy machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from cflib.crtp.crtpstack import CRTPPacket

from snn_controller.control.geometric import GuideGains, geometric_thrust_rates
from snn_controller.flight_controllers.crazyflie.link import CrazyflieLink
from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.vehicle.action import Command, limit_thrust_rates, stop_command
from snn_controller.vehicle.flight_controller import LinkStatus
from snn_controller.vehicle.state import Reference, State
from snn_sim.doubles.crazyflie.firmware import HOVER_THRUST, Phase, ground_firmware
from snn_sim.doubles.crazyflie.udp_vehicle import CrazyflieDouble

TARGET = Reference(np.array([0.0, 0.0, 0.6]))
PUSH = np.array([0.05, -0.04, 0.0])  # N, a quarter of the weight
SETTLED = 4.0  # s after which the hover's error counts
POLL_PERIOD = 0.002  # s
Watch = Callable[[LinkStatus], None]


def main() -> None:
    """Run the three parts and print what was measured."""
    parser = argparse.ArgumentParser(description="The Crazyflie link against its double.")
    parser.add_argument("--hover", type=float, default=30.0, help="s")
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    arguments = parser.parse_args()
    logging.getLogger("cflib").setLevel(logging.CRITICAL + 1)
    result: dict[str, Any] = {"hover": measure_hover(arguments.hover)}
    result["cuts"] = [measure_cut() for _ in range(arguments.cuts)]
    result["damaged"] = measure_damaged(arguments.frames)
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text)


@contextmanager
def connected() -> Iterator[tuple[CrazyflieDouble, CrazyflieLink, float]]:
    """Give a running double, its link, and the s that connecting took."""
    double = CrazyflieDouble(ground_firmware())
    double.start()
    begun = time.perf_counter()
    hover_thrust = HOVER_THRUST / 65535
    link = CrazyflieLink(LinkOptions(endpoint=double.endpoint, hover_thrust=hover_thrust))
    took = time.perf_counter() - begun
    try:
        yield double, link, took
    finally:
        link.release()
        link.wait_released()
        double.stop()


def serve(link: CrazyflieLink, command: Callable[[State], Command], seconds: float) -> list[float]:
    """Answer every state with a command; return the s that each answer kept the caller."""
    times = []
    deadline = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < deadline:
        status = link.poll(time.time_ns())
        if status.odometry is not None:
            link.send(command(status.odometry.state), status.odometry.stamp)
        times.append(time.perf_counter() - begun)
        time.sleep(POLL_PERIOD)
    return times


def guide(state: State) -> Command:
    """Return the guide's command towards the target."""
    values = geometric_thrust_rates(state, TARGET, gravity=9.81, gains=GuideGains())
    return Command("thrust_rates", limit_thrust_rates(values))


def stop(state: State) -> Command:
    """Return a stop command, whatever the state."""
    return stop_command("thrust_rates")


def arm(link: CrazyflieLink) -> float:
    """Arm and return the s that it took."""
    begun = time.perf_counter()
    link.arm()
    while not (status := link.poll(0)).armed or not status.in_control:
        serve(link, stop, 0.01)
    return time.perf_counter() - begun


def measure_hover(seconds: float) -> dict[str, float]:
    """Hover for some s, with a push of 0.4 s in the middle, and land by stopping at the end."""
    errors: list[tuple[float, float]] = []
    with connected() as (double, link, connecting):
        arming = arm(link)
        begun, received = time.perf_counter(), double.received

        def watched(state: State) -> Command:
            now = time.perf_counter() - begun
            pushed = 0.0 < now - seconds / 2.0 < 0.4
            double.firmware.force = PUSH if pushed else np.zeros(3)
            error = double.firmware.drone.state.position - TARGET.position
            errors.append((now, float(np.linalg.norm(error))))
            return guide(state)

        times = serve(link, watched, seconds)
        rate = (double.received - received) / seconds
        status = link.poll(0)
        link.close()
        times_of, sizes = np.array(errors).T
    before = (times_of > SETTLED) & (times_of < seconds / 2.0)
    after = times_of > seconds / 2.0
    return {
        "connecting_s": connecting,
        "arming_s": arming,
        "ticks": len(errors),
        "frames_per_s_up": rate,
        "flying_at_the_end": status.mode == "flying",
        "settled_error_max_m": float(sizes[before].max()),
        "pushed_error_max_m": float(sizes[after].max()),
        "end_error_m": float(sizes[-1]),
        "answer_median_ms": 1e3 * float(np.median(times)),
        "answer_99_percent_ms": 1e3 * float(np.quantile(times, 0.99)),
        "locked_after_close": float(double.firmware.supervisor.phase is Phase.LOCKED),
    }


def measure_cut() -> dict[str, float]:
    """Cut the link in a hover; return when firmware levelled, stopped, and the link's sending."""
    with connected() as (double, link, _):
        arm(link)
        serve(link, guide, 2.0)
        phase = double.firmware.supervisor
        double.cut = True
        begun = time.perf_counter()
        sending = 0.0
        result: dict[str, float] = {}
        while "stopped_s" not in result:
            now = time.perf_counter()
            link.send(guide(State.at_rest(TARGET.position)), 0)
            sending = max(sending, time.perf_counter() - now)
            age = link.poll(0).age
            if age > 0.3 and "link_told_s" not in result:
                result["link_told_s"] = now - begun
            if phase.phase is Phase.LEVEL and "levelled_s" not in result:
                result["levelled_s"] = now - begun
            if phase.phase is Phase.LOCKED:
                result["stopped_s"] = now - begun
            time.sleep(0.001)
    return {**result, "slowest_send_ms": 1e3 * sending}


def measure_damaged(count: int) -> dict[str, float]:
    """Feed damaged copies of what a vehicle sends through cflib; nothing may move or die."""
    rng = np.random.default_rng(11)
    with connected() as (double, link, _):
        serve(link, stop, 0.3)
        cf = link.client
        true = record(link)
        begun, moved = time.perf_counter(), 0
        for i in range(count):
            data = damage(true[i % len(true)], rng)
            assert cf.link is not None
            cf.link.in_queue.put(CRTPPacket(header=data[0], data=data[1:]))
            if i % 200 == 0:
                status = link.poll(time.time_ns())
                moved += double.firmware.motors_turn or status.armed
                while cf.link.in_queue.qsize() > 400:
                    time.sleep(0.001)
        while cf.link is not None and not cf.link.in_queue.empty():
            time.sleep(0.01)
        alive = cf.incoming.is_alive()
        arm(link)  # and it can still fly
        serve(link, guide, 2.0)
        height = double.firmware.drone.state.position[2]
    return {
        "frames": count,
        "seconds": time.perf_counter() - begun,
        "moved": moved,
        "receiver_alive": alive,
        "height_of_a_flight_afterwards_m": float(height),
    }


def record(link: CrazyflieLink) -> list[bytes]:
    """Return frames that the vehicle sends now, one of each beginning."""
    frames: dict[bytes, bytes] = {}

    def keep(packet: CRTPPacket) -> None:
        data = bytes([packet.header]) + bytes(packet.data)
        frames.setdefault(data[:3], data)

    link.client.packet_received.add_callback(keep)
    link.client.link_statistics.latency.ping()
    link.client.param.request_update_of_all_params()
    serve(link, stop, 0.5)
    link.client.packet_received.remove_callback(keep)
    return list(frames.values())


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy with bits turned, cut or lengthened; one in eight is random throughout."""
    if rng.random() < 0.125:
        return rng.bytes(int(rng.integers(1, 32)))
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
    if rng.random() < 0.3:
        damaged = damaged[: int(rng.integers(1, len(damaged) + 1))]
    if rng.random() < 0.1:
        damaged += rng.bytes(int(rng.integers(1, 5)))
    return bytes(damaged)


if __name__ == "__main__":
    main()
