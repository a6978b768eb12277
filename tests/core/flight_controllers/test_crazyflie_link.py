"""The Crazyflie link with stock cflib against the double on UDP, in real time: about 35 s."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.vehicle.flight_controller import LinkStatus
from snn_controller.vehicle.state import State
from snn_sim.doubles.crazyflie.firmware import HOVER_THRUST, Phase, ground_firmware
from snn_sim.doubles.crazyflie.udp_vehicle import CrazyflieDouble
from support.real_time import in_real_time

pytest.importorskip("cflib")
from snn_controller.flight_controllers.crazyflie.link import CrazyflieLink
from support.crazyflie_loop import (
    HOVER_POINT,
    STOP,
    armed,
    connect,
    fly,
    hover,
    serve,
    stop,
    wait_for,
)

RATE_MODES = tuple(f"flightmode.stabMode{axis}" for axis in ("Roll", "Pitch", "Yaw"))


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


@pytest.mark.slow
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
    wait_for(lambda: link.poll(0).age > 0.3, 0.5)  # which is what the guards go by
    link.arm()
    assert not armed(link.poll(0))
    begun = time.perf_counter()
    link.send(STOP, 0)
    link.disarm()
    link.kill()
    link.close()
    link.release()
    assert time.perf_counter() - begun < 0.25
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert all(thread.daemon for thread in others)  # none keeps the process from ending
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


@pytest.mark.slow
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


@pytest.mark.slow
@in_real_time
def test_a_wrong_hover_thrust_is_corrected_in_flight(double: CrazyflieDouble) -> None:
    options = LinkOptions(endpoint=double.endpoint, hover_thrust=0.9 * HOVER_THRUST / 65535)
    link = CrazyflieLink(options)
    fly(link, 6.0)
    assert np.linalg.norm(double.firmware.drone.state.position - HOVER_POINT) < 0.04
    link.release()
    assert link.wait_released()
