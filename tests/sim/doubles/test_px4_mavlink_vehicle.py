"""The PX4 double under clients that are not ours, and by its own rules."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from support.places import ROOT

pytest.importorskip("pymavlink")

from hypothesis import given

from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import quaternion_to_matrix
from snn_controller.vehicle.state import State
from snn_sim.doubles.px4.firmware import (
    ACCEPTED,
    DENIED,
    NOT_LANDED,
    TEMPORARILY_REJECTED,
    UNSUPPORTED,
    Px4Body,
    Px4Firmware,
    Px4Mode,
)
from snn_sim.doubles.px4.mavlink_vehicle import attitude_wxyz
from support.quaternions import quaternions, swap_attitude_convention
from support.real_time import in_real_time

POINT = (0.4, -0.3, -1.0)  # m, north, east, down


def streaming(seconds: float) -> Px4Firmware:
    firmware = Px4Firmware()
    for now in np.arange(0.0, seconds, 0.1):
        firmware.take_setpoint(float(now))
    return firmware


def test_offboard_is_rejected_without_a_stream_and_accepted_after_it() -> None:
    assert Px4Firmware().request_mode(Px4Mode.OFFBOARD, 5.0) == TEMPORARILY_REJECTED
    assert streaming(0.8).request_mode(Px4Mode.OFFBOARD, 0.8) == TEMPORARILY_REJECTED
    firmware = streaming(1.5)
    assert firmware.request_mode(Px4Mode.OFFBOARD, 1.5) == ACCEPTED
    assert firmware.request_arming(1.5) == ACCEPTED and firmware.armed
    assert Px4Firmware().request_mode(99, 0.0) == UNSUPPORTED


def test_it_leaves_offboard_when_the_stream_stops() -> None:
    firmware = streaming(1.5)
    firmware.request_mode(Px4Mode.OFFBOARD, 1.5)
    firmware.watch(1.9, on_ground=False, thrust=True)
    assert firmware.mode is Px4Mode.OFFBOARD
    firmware.watch(2.0, on_ground=False, thrust=True)
    assert firmware.mode is Px4Mode.POSCTL


def test_disarming_needs_the_ground_or_force() -> None:
    firmware = streaming(1.5)
    firmware.request_arming(1.5)
    firmware.watch(2.0, on_ground=False, thrust=True)
    assert firmware.request_disarming(force=False) == DENIED
    assert firmware.texts == [NOT_LANDED]
    assert firmware.request_disarming(force=True) == ACCEPTED and not firmware.armed


@given(quaternions)
def test_its_attitude_is_the_one_of_the_core(quaternion: np.ndarray) -> None:
    state = State(np.zeros(3), quaternion, np.zeros(3), np.zeros(3))
    w, x, y, z = attitude_wxyz(state)
    np.testing.assert_allclose(
        quaternion_to_matrix([x, y, z, w]), swap_attitude_convention(state.rotation), atol=1e-9
    )


@pytest.mark.parametrize("airframe", ["crazyflie21", "cf2x"])
def test_its_rate_loop_follows_rates_about_every_axis(airframe: str) -> None:
    for axis in range(3):
        body = Px4Body(load_quadrotor(airframe))
        body.place(State.at_rest(np.array([0.0, 0.0, 2.0])))
        rates = np.eye(3)[axis] * 2.0
        for _ in range(150):  # 0.3 s
            body.step(body.quadrotor.hover_throttle, rates)
        np.testing.assert_allclose(body.state.body_rates, rates, atol=0.3)
        body.close()


@pytest.fixture
def port() -> Iterator[int]:
    """Port that a double in its own process sends to, in real time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    endpoint = f"udpout:127.0.0.1:{free}"
    words = [
        sys.executable,
        "-m",
        "snn_sim.doubles.px4.run",
        "--endpoint",
        endpoint,
        "--seconds",
        "60",
    ]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    yield free
    process.terminate()
    process.wait()


class SdkPilot:
    """Flies by MAVSDK in NED, FRD and degrees, with nothing of this project."""

    def __init__(self, system: object) -> None:
        from mavsdk.plugins.offboard import Offboard
        from mavsdk.plugins.telemetry import Telemetry

        self.offboard, self.telemetry = Offboard(system), Telemetry(system)
        self.place = self.attitude = None
        self.telemetry.set_rate_position_velocity_ned(100.0)
        self.telemetry.set_rate_attitude_quaternion(100.0)
        self.telemetry.subscribe_position_velocity_ned(self._take_place)
        self.telemetry.subscribe_attitude_quaternion(self._take_attitude)

    def _take_place(self, sample, *_) -> None:
        self.place = sample

    def _take_attitude(self, q, *_) -> None:
        roll = math.atan2(2 * (q.w * q.x + q.y * q.z), 1 - 2 * (q.x**2 + q.y**2))
        pitch = math.asin(max(-1.0, min(1.0, 2 * (q.w * q.y - q.z * q.x))))
        yaw = math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y**2 + q.z**2))
        self.attitude = tuple(map(math.degrees, (roll, pitch, yaw)))

    def command(self, roll: float, pitch: float, yaw: float, thrust: float) -> None:
        from mavsdk.plugins.offboard import AttitudeRate

        self.offboard.set_attitude_rate(AttitudeRate(roll, pitch, yaw, thrust))

    def fly(self, seconds: float, yaw_rate: float, hover: float) -> tuple[float, float, float]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            p, v = self.place.position, self.place.velocity
            roll, pitch, yaw = self.attitude
            north = 1.5 * (POINT[0] - p.north_m) - 2.0 * v.north_m_s
            east = 1.5 * (POINT[1] - p.east_m) - 2.0 * v.east_m_s
            cosine, sine = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
            ahead, right = north * cosine + east * sine, east * cosine - north * sine
            lift = 9.81 + 4.0 * (p.down_m - POINT[2]) + 3.5 * v.down_m_s
            thrust = min(hover * math.sqrt(max(lift, 0.0) / 9.81), 1.0)
            wanted_roll, wanted_pitch = math.degrees(right / 9.81), -math.degrees(ahead / 9.81)
            self.command(6 * (wanted_roll - roll), 6 * (wanted_pitch - pitch), yaw_rate, thrust)
            time.sleep(0.01)
        p = self.place.position
        return p.north_m, p.east_m, p.down_m


@pytest.mark.slow
@in_real_time
def test_mavsdk_arms_it_flies_it_in_ned_and_sees_its_failsafe(port: int) -> None:
    """Takes 14 s: MAVSDK knows real time only."""
    mavsdk = pytest.importorskip("mavsdk", minversion="4")
    from mavsdk.plugins.action import Action
    from mavsdk.plugins.offboard import OffboardError
    from mavsdk.plugins.telemetry import FlightMode

    kind = mavsdk.ComponentType.COMPANION_COMPUTER
    client = mavsdk.Mavsdk(mavsdk.Configuration.create_with_component_type(kind))
    client.add_any_connection(f"udpin://127.0.0.1:{port}")
    system = client.first_autopilot(10.0)
    assert system is not None and system.autopilot_type() == mavsdk.Autopilot.PX4
    pilot, action = SdkPilot(system), Action(system)
    hover = load_quadrotor("crazyflie21").hover_throttle
    pilot.command(0.0, 0.0, 0.0, 0.0)
    with pytest.raises(OffboardError):
        pilot.offboard.start()  # a stream that has only begun
    time.sleep(1.5)
    pilot.offboard.start()
    action.arm()
    assert np.linalg.norm(np.subtract(pilot.fly(6.0, 0.0, hover), POINT)) < 0.15
    before = pilot.attitude[2]
    pilot.fly(1.0, 45.0, hover)
    assert 30.0 < (pilot.attitude[2] - before) % 360.0 < 60.0  # clockwise seen from above
    with pytest.raises(Exception, match="DENIED"):
        action.disarm()
    pilot.offboard.stop()  # MAVSDK asks for HOLD
    time.sleep(1.2)
    assert pilot.telemetry.flight_mode() == FlightMode.HOLD
    assert np.linalg.norm(np.subtract(pilot.fly(0.5, 0.0, hover), POINT)) < 0.15
    client.destroy()
