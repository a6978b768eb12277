"""The Crazyflie link with stock cflib against the double on UDP, in real time: about 35 s."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from real_time import in_real_time
from snn_controller.action import Command, limit_thrust_rates, stop_command
from snn_controller.flight_controllers import LinkStatus
from snn_controller.flight_controllers.links import LinkOptions, open_link
from snn_controller.guide import GuideGains, geometric_thrust_rates
from snn_controller.state import Reference, State

from sim.crazyflie_double import CrazyflieDouble, ground_firmware
from sim.crazyflie_firmware import HOVER_THRUST
from sim.crazyflie_supervisor import Phase

pytest.importorskip("cflib")
from snn_controller.flight_controllers.crazyflie import CrazyflieLink

HOVER_POINT = np.array([0.0, 0.0, 0.6])
RATE_MODES = tuple(f"flightmode.stabMode{axis}" for axis in ("Roll", "Pitch", "Yaw"))
STOP = stop_command("thrust_rates")


@pytest.fixture
def double() -> Iterator[CrazyflieDouble]:
    vehicle = CrazyflieDouble(ground_firmware())
    vehicle.start()
    yield vehicle
    vehicle.stop()
    vehicle.firmware.drone.close()


@pytest.fixture
def link(double: CrazyflieDouble) -> Iterator[CrazyflieLink]:
    connected = connect(double)
    yield connected
    connected.release()
    assert connected.wait_released()


def connect(double: CrazyflieDouble, **options: object) -> CrazyflieLink:
    given = LinkOptions(
        endpoint=double.endpoint,
        hover_thrust=HOVER_THRUST / 65535,
        **options,  # type: ignore[arg-type]
    )
    connected = open_link("crazyflie", given)
    assert isinstance(connected, CrazyflieLink)
    return connected


def serve(
    link: CrazyflieLink,
    command: Callable[[State], Command],
    seconds: float,
    until: Callable[[LinkStatus], bool] = lambda status: False,
) -> LinkStatus:
    """Answer each state with a command, as the node does, for some time or until something."""
    deadline = time.perf_counter() + seconds
    while True:
        status = link.poll(time.time_ns())
        if status.odometry is not None:
            link.send(command(status.odometry.state), status.odometry.stamp)
        if until(status) or time.perf_counter() > deadline:
            return status
        time.sleep(0.002)


def hover(state: State) -> Command:
    values = geometric_thrust_rates(state, Reference(HOVER_POINT), gravity=9.81, gains=GuideGains())
    return Command("thrust_rates", limit_thrust_rates(values))


def stop(state: State) -> Command:
    return STOP


def armed(status: LinkStatus) -> bool:
    return status.armed and status.in_control


def fly(link: CrazyflieLink, seconds: float) -> LinkStatus:
    link.arm()
    assert armed(serve(link, stop, 3.0, armed))
    return serve(link, hover, seconds)


def wait_for(what: Callable[[], bool], seconds: float) -> float:
    """Return after how long something was true."""
    start = time.perf_counter()
    while not what():
        assert time.perf_counter() - start < seconds
        time.sleep(0.001)
    return time.perf_counter() - start


@in_real_time
def test_it_arms_hovers_survives_a_push_lands_and_gives_the_modes_back(
    double: CrazyflieDouble,
) -> None:
    link = connect(double)
    firmware = double.firmware
    assert not armed(link.poll(0))
    status = fly(link, 3.0)
    assert (status.mode, status.refusal, status.age < 0.1) == ("flying", "", True)
    assert status.battery == pytest.approx(3.9)
    assert [firmware.parameters.values[name] for name in RATE_MODES] == [0, 0, 0]
    firmware.force = np.array([0.05, -0.04, 0.0])  # a fifth of the weight
    serve(link, hover, 0.4)
    firmware.force = np.zeros(3)
    pushed = np.linalg.norm(firmware.drone.state.position - HOVER_POINT)
    serve(link, hover, 2.0)
    assert np.linalg.norm(firmware.drone.state.position - HOVER_POINT) < 0.03 < pushed
    begun = time.perf_counter()
    link.close()
    assert time.perf_counter() - begun < 0.2
    assert not firmware.motors_turn
    link.release()
    assert link.wait_released()
    assert [firmware.parameters.values[name] for name in RATE_MODES] == [1, 1, 0]
    assert firmware.supervisor.phase is not Phase.LOCKED


@in_real_time
def test_a_cut_link_is_told_and_the_firmware_levels_then_stops(
    double: CrazyflieDouble, link: CrazyflieLink
) -> None:
    fly(link, 2.0)
    double.cut = True
    levelled = wait_for(lambda: double.firmware.supervisor.phase is Phase.LEVEL, 1.0)
    assert 0.45 < levelled < 0.65
    assert link.poll(0).age > 0.4
    begun = time.perf_counter()
    for _ in range(100):  # with the link broken, commands must not take time either
        link.send(hover(State.at_rest(HOVER_POINT)), 0)
    assert time.perf_counter() - begun < 0.1
    stopped = levelled + wait_for(lambda: not double.firmware.motors_turn, 2.0)
    assert 1.9 < stopped < 2.2
    double.cut = False
    status = serve(link, stop, 1.0, lambda status: status.mode == "locked")
    assert (status.mode, status.armed) == ("locked", False)
    assert "restart" in status.refusal


@in_real_time
def test_a_far_end_that_is_gone_is_told_and_nothing_hangs(double: CrazyflieDouble) -> None:
    link = connect(double)
    fly(link, 0.5)
    double._socket.close()
    double._running = False

    def told() -> bool:
        link.send(STOP, 0)
        return "lost" in link.poll(0).refusal

    assert wait_for(told, 0.5) < 0.5
    assert not link.poll(0).armed
    begun = time.perf_counter()
    link.send(STOP, 0)
    link.disarm()
    link.kill()
    link.close()
    link.release()
    assert time.perf_counter() - begun < 0.25
    assert link.wait_released()


@in_real_time
def test_kill_stops_in_the_air_and_for_good(double: CrazyflieDouble, link: CrazyflieLink) -> None:
    fly(link, 1.5)
    assert double.firmware.drone.state.position[2] > 0.2
    link.kill()
    assert wait_for(lambda: not double.firmware.motors_turn, 0.1) < 0.1
    status = serve(link, hover, 0.3)
    assert not status.armed
    link.arm()
    status = serve(link, hover, 0.3)
    assert "restart" in status.refusal
    assert not double.firmware.motors_turn


@in_real_time
def test_a_kill_at_rest_does_not_lock(double: CrazyflieDouble, link: CrazyflieLink) -> None:
    link.arm()
    assert armed(serve(link, stop, 3.0, armed))
    link.kill()
    assert not serve(link, hover, 0.3).armed
    assert double.firmware.supervisor.phase is Phase.READY
    assert not double.firmware.motors_turn


@in_real_time
def test_nothing_moves_before_arming_and_after_disarming(
    double: CrazyflieDouble, link: CrazyflieLink
) -> None:
    serve(link, hover, 0.3)
    assert not double.firmware.motors_turn
    fly(link, 0.3)
    assert double.firmware.motors_turn
    link.disarm()
    assert wait_for(lambda: not double.firmware.motors_turn, 0.1) < 0.1
    assert not serve(link, hover, 0.3).armed
    assert not double.firmware.motors_turn
    fly(link, 0.3)  # and again
    assert double.firmware.motors_turn


@pytest.mark.parametrize("protocol", [7, 12])
@in_real_time
def test_builds_that_want_arming_are_asked(protocol: int) -> None:
    double = CrazyflieDouble(ground_firmware(auto_arming=False, protocol=protocol))
    double.start()
    link = connect(double)
    status = serve(link, stop, 0.2)
    assert (status.armed, double.firmware.supervisor.armed) == (False, False)
    fly(link, 0.3)
    assert double.firmware.motors_turn
    link.disarm()
    wait_for(lambda: not double.firmware.supervisor.armed, 0.3)
    link.release()
    assert link.wait_released()
    double.stop()


@in_real_time
def test_lost_packets_cost_time_only(double: CrazyflieDouble) -> None:
    double.loss = 0.1
    link = connect(double)
    fly(link, 3.0)
    assert np.linalg.norm(double.firmware.drone.state.position - HOVER_POINT) < 0.05
    link.release()
    assert link.wait_released()


def test_poses_reach_the_estimator(double: CrazyflieDouble) -> None:
    link = connect(double, external_pose=True)
    link.arm()
    assert armed(serve(link, stop, 3.0, armed))
    link.send_pose(State.at_rest(np.array([1.0, 2.0, 3.0])))
    wait_for(lambda: double.firmware.external_pose is not None, 0.2)
    assert double.firmware.external_pose == (1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0)
    wait_for(lambda: double.firmware.parameters.values["kalman.resetEstimation"] == 1, 0.5)
    link.release()
    assert link.wait_released()


@in_real_time
def test_stamps_are_on_the_callers_clock(link: CrazyflieLink) -> None:
    stamps = []

    def note(status: LinkStatus) -> bool:
        if status.odometry is not None:
            assert 0 <= time.time_ns() - status.odometry.stamp < 100_000_000
            if status.odometry.specific_force is not None:  # it comes with the first status
                force = status.odometry.specific_force
                assert force == pytest.approx([0.0, 0.0, 9.81], abs=0.3)
            stamps.append(status.odometry.stamp)
        return False

    serve(link, stop, 1.0, note)
    assert 80 < len(stamps) < 110
    assert (np.diff(stamps) > 0).all()


def test_damaged_frames_from_the_vehicle_command_nothing(
    double: CrazyflieDouble, link: CrazyflieLink
) -> None:
    """Damaged copies of every frame a vehicle sends, through cflib's own receiving side."""
    serve(link, stop, 0.3)
    cf = link.client
    from cflib.crtp.crtpstack import CRTPPacket

    rng = np.random.default_rng(7)
    true = [
        bytes([0x5E, 0, 1, 0, 0]) + struct.pack("<13e", *np.ones(13)),
        bytes([0x5E, 1, 1, 0, 0]) + struct.pack("<Hf", 14, 3.9),
        bytes([0x5D, 3, 1, 0]),
        bytes([0x2D, 0, 0, 0, 1]),
        bytes([0x2E, 0, 0, 1]),
        bytes([0xFC]) + bytes(9),
        bytes([0xDC, 1, 1, 1]),
        b"\x00console",
    ]
    for i in range(4_000):
        data = bytearray(true[i % len(true)]) if i % 3 else bytearray(rng.bytes(20))
        for _ in range(2):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        data = data[: 1 + int(rng.integers(len(data)))]
        assert cf.link is not None
        cf.link.in_queue.put(CRTPPacket(header=data[0], data=bytes(data[1:])))
        if i % 100 == 0:
            link.poll(time.time_ns())
    wait_for(lambda: cf.link is not None and cf.link.in_queue.empty(), 20.0)
    assert cf.incoming.is_alive()
    status = serve(link, stop, 0.3)
    assert not status.armed
    assert not double.firmware.motors_turn
