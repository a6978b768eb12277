"""The `mavlink` link against the PX4 double, which flies our PyBullet drone, in lockstep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.vehicle.action import Command, stop_command
from snn_controller.vehicle.frames import axis_angle_to_quaternion, roll_pitch_yaw
from snn_controller.vehicle.state import State

pytest.importorskip("pymavlink")

from snn_sim.doubles.px4.firmware import NOT_LANDED, Px4Mode
from snn_sim.doubles.px4.lockstep import TICK, Lockstep

POINT = np.array([0.0, 0.0, 1.0])
STOP = stop_command("thrust_rates")


@pytest.fixture
def pair() -> Iterator[Lockstep]:
    lockstep = Lockstep()
    lockstep.run(2.0)
    yield lockstep
    lockstep.close()


@pytest.fixture
def flying(pair: Lockstep) -> Lockstep:
    assert pair.arm().armed
    pair.fly(4.0, POINT)
    return pair


def test_nothing_is_asked_before_arm(pair: Lockstep) -> None:
    status = pair.run(3.0, Command("thrust_rates", np.array([15.0, 0.0, 0.0, 0.0])))
    assert not status.armed and not status.in_control
    assert pair.double.firmware.mode is Px4Mode.MANUAL
    assert not pair.double.firmware.streams(pair.double.body.time)
    assert pair.double.body.on_ground


def test_it_tells_the_vehicles_state_in_enu_and_flu() -> None:
    pair = Lockstep(options=LinkOptions(start_frame=False))
    status = pair.run(2.0)
    assert status.odometry is not None
    truth = pair.double.body.state
    np.testing.assert_allclose(status.odometry.state.position, truth.position, atol=1e-6)
    assert status.odometry.stamp == pair.now
    assert status.odometry.position_deviation == pytest.approx(0.05)
    np.testing.assert_allclose(status.odometry.specific_force, [0.0, 0.0, 9.81], atol=0.05)
    assert status.battery == pytest.approx(3.9)
    assert status.age == 0.0 and status.mode == "MANUAL"
    pair.close()


def test_it_arms_after_a_second_of_stop_commands_and_lifts_nothing(pair: Lockstep) -> None:
    status = pair.arm()
    assert status.armed and status.in_control and status.mode == "OFFBOARD"
    assert status.refusal == ""
    assert 1.0 < (pair.ticks * TICK - 2.0) < 2.0
    assert pair.double.body.on_ground


@pytest.mark.slow
def test_it_hovers_for_30_s_and_recovers_from_kicks_about_every_axis(flying: Lockstep) -> None:
    """Takes 9 s: 15,000 physics steps, each with a rate loop of the double."""
    path = flying.fly(30.0, POINT)
    assert np.abs(path - POINT).max() < 0.02
    for kick in np.diag([3e-3, 3e-3, 1e-3]):  # N m for 20 ms
        flying.double.push = kick
        flying.fly(0.02, POINT)
        flying.double.push = None
        assert np.abs(flying.double.body.state.body_rates).max() > 0.8
        path = flying.fly(2.0, POINT)
        assert np.abs(path[-1] - POINT).max() < 0.05
        assert np.abs(flying.double.body.state.body_rates).max() < 0.05


def test_a_link_that_is_cut_leaves_the_vehicle_to_its_own_failsafe(flying: Lockstep) -> None:
    flying.wire.cut = True
    cut = flying.double.body.time
    while flying.double.firmware.mode is Px4Mode.OFFBOARD:
        flying.tick(STOP)
    assert 0.4 < flying.double.body.time - cut < 0.91  # s, as observed with real firmware
    assert flying.double.firmware.mode is Px4Mode.POSCTL and flying.double.firmware.failsafe
    status = flying.run(5.0, STOP)
    assert status.age > 5.0
    assert np.linalg.norm(flying.double.body.state.position - POINT) < 0.2  # held by firmware


def test_without_heartbeats_it_is_not_heard_though_odometry_comes(flying: Lockstep) -> None:
    from pymavlink.dialects.v20 import common

    flying.double.muted = frozenset({common.MAVLINK_MSG_ID_HEARTBEAT})
    flying.fly(2.3, POINT)
    assert flying.status.age < 0.01
    flying.fly(0.3, POINT)  # nobody knows by now what mode it is in
    assert 2.5 < flying.status.age < 2.7
    assert flying.odometry is not None and flying.now - flying.odometry.stamp < 5e6
    flying.double.muted = frozenset()
    flying.fly(0.2, POINT)
    assert flying.status.age < 0.01


def test_a_reset_of_its_estimator_moves_nothing(flying: Lockstep) -> None:
    body = flying.double.body
    body.estimator = lambda state: replace(state, position=state.position + np.array([3, -2, 1]))
    body.resets += 1
    path = flying.fly(2.0, POINT)
    assert np.abs(path - POINT).max() < 0.02


def test_it_asks_for_nothing_more_after_a_pilot_took_over(flying: Lockstep) -> None:
    flying.double.firmware.request_mode(Px4Mode.POSCTL, flying.double.body.time)
    flying.fly(0.3, POINT)
    assert not flying.status.in_control and flying.status.armed
    assert "POSCTL" in flying.status.refusal
    flying.wire.to_vehicle.clear()
    flying.run(2.0, STOP)
    assert flying.double.firmware.mode is Px4Mode.POSCTL
    assert not flying.double.firmware.streams(flying.double.body.time)


def test_it_never_arms_again_after_the_vehicle_disarmed(pair: Lockstep) -> None:
    pair.arm()
    status = pair.run(12.0, STOP)  # PX4 disarms by itself without a take-off
    assert not status.armed and not status.in_control
    assert "disarmed" in status.refusal


def test_a_refusal_is_told_in_the_vehicles_words_and_arming_goes_on(pair: Lockstep) -> None:
    pair.double.firmware.prearm_failure = "Preflight Fail: Compass not found"
    status = pair.arm(patience=4.0)
    assert not status.armed
    assert "arming temporarily rejected" in status.refusal
    assert "Compass not found" in status.refusal
    pair.double.firmware.prearm_failure = ""
    status = pair.run(2.0, STOP)
    assert status.armed and status.refusal == ""


def test_disarming_in_the_air_is_refused_and_killing_is_not(flying: Lockstep) -> None:
    flying.link.disarm()
    hover = Command("thrust_rates", np.array([9.81, 0.0, 0.0, 0.0]))
    status = flying.run(0.2, hover)
    assert status.armed and NOT_LANDED in status.refusal
    flying.link.kill()
    status = flying.run(0.15, hover)  # what is sent after a kill is a stop, whatever it says
    assert not status.armed and not flying.double.firmware.armed
    flying.run(2.0, hover)
    assert flying.double.body.on_ground


def test_it_lands_and_disarms_on_the_ground(flying: Lockstep) -> None:
    for height in np.linspace(1.0, -0.2, 100):
        flying.fly(0.04, np.array([0.0, 0.0, height]))
    flying.link.disarm()
    assert flying.run(0.5, STOP).armed  # firmware does not believe yet that it has landed
    assert not flying.run(1.5, STOP).armed


def test_close_on_the_ground_disarms_within_its_time(pair: Lockstep) -> None:
    pair.arm()
    before = pair.double.body.time
    pair.link.close()
    assert not pair.double.firmware.armed
    assert pair.double.body.time - before <= 0.21
    pair.link.close()  # twice does no harm
    pair.link.release()
    assert pair.wire.closed


def test_close_in_the_air_leaves_the_landing_to_the_firmware(flying: Lockstep) -> None:
    flying.link.close()
    assert flying.double.firmware.mode is Px4Mode.LAND
    flying.wire.cut = True
    flying.advance(1.0)
    assert flying.double.body.state.position[2] > 0.3  # sinks, does not fall
    flying.advance(5.0)
    assert not flying.double.firmware.armed and flying.double.body.on_ground


def test_hand_back_sends_nothing_more(flying: Lockstep) -> None:
    flying.link.hand_back()
    flying.run(1.0, STOP)
    assert not flying.double.firmware.streams(flying.double.body.time)
    assert flying.double.firmware.mode is Px4Mode.POSCTL
    assert flying.double.firmware.armed  # its firmware holds it


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_sent_as_a_stop(pair: Lockstep, value: float) -> None:
    pair.arm()
    pair.run(0.5, Command("thrust_rates", np.array([9.81, value, 0.0, 0.0])))
    assert pair.double._throttle == 0.0
    pair.run(0.5, Command("motors", np.full(4, 0.9)))
    assert pair.double._throttle == 0.0
    assert pair.double.body.on_ground


def test_other_vehicles_on_the_link_change_nothing(pair: Lockstep) -> None:
    from pymavlink.dialects.v20 import common

    from snn_controller.flight_controllers.mavlink.codec import Codec

    stranger = Codec(system=7, component=1)
    armed = common.MAVLink_heartbeat_message(2, 12, 128, int(Px4Mode.OFFBOARD), 4, 3)
    pair.wire.to_link.append(stranger.pack(armed))
    status = pair.tick()
    assert not status.armed and status.mode == "MANUAL"


def test_signed_both_ends_fly_and_unsigned_or_forged_ones_do_not() -> None:
    key, other = bytes(range(32)), bytes(32)
    for link_key, vehicle_key, heard in [(key, key, True), (key, other, False), (None, key, False)]:
        pair = Lockstep(link_key=link_key, vehicle_key=vehicle_key)
        status = pair.arm()
        assert status.armed == heard
        assert pair.double.firmware.armed == heard
        pair.close()


@pytest.mark.slow
def test_a_flight_begins_at_the_origin_heading_along_x_wherever_the_vehicle_stands() -> None:
    pair = Lockstep()
    heading, place = 2.0, np.array([3.0, -2.0, pair.double.body.state.position[2]])
    turned = axis_angle_to_quaternion([0.0, 0.0, 1.0], heading)
    pair.double.body.place(replace(State.at_rest(place), quaternion=turned))
    status = pair.run(2.0)
    np.testing.assert_allclose(status.odometry.state.position, 0.0, atol=1e-6)
    np.testing.assert_allclose(status.odometry.state.rotation, np.eye(3), atol=1e-3)
    assert pair.arm().armed
    pair.fly(4.0, POINT)
    path = pair.fly(3.0, POINT + np.array([0.5, 0.0, 0.0]))
    ahead = 0.5 * np.array([np.cos(heading), np.sin(heading), 0.0])
    np.testing.assert_allclose(path[-1], place + POINT + ahead, atol=0.02)
    assert abs(roll_pitch_yaw(pair.double.body.state.rotation)[2] - heading) < 0.02
    pair.close()


@pytest.mark.slow
@pytest.mark.parametrize("error", [0.85, 1.15])  # of the throttle: 28 % and 32 % of the thrust
def test_a_wrong_hover_thrust_is_corrected_in_flight(error: float) -> None:
    """Takes 6 s."""
    heights = {}
    for lift_estimation in (False, True):
        pair = Lockstep(thrust_error=error, options=LinkOptions(lift_estimation=lift_estimation))
        pair.run(2.0)
        pair.arm()
        path = pair.fly(8.0, POINT)
        heights[lift_estimation] = abs(path[-200:, 2].mean() - POINT[2])
        pair.close()
    assert heights[False] > 0.15
    assert heights[True] < 0.03
