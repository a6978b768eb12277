"""The `px4` link against a PX4 without DDS: contract, gate, and flights in lockstep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from snn_controller.control.body_rate import RateGains
from snn_controller.control.geometric import GuideGains, geometric_control, geometric_thrust_rates
from snn_controller.errors import UserError
from snn_controller.flight_controllers.px4.link import Px4Link, odometry_from_px4
from snn_controller.flight_controllers.px4.messages import await_px4, message_hash, topic_name
from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.vehicle.action import Command, stop_command, throttle_from_action
from snn_controller.vehicle.flight_controller import LinkStatus
from snn_controller.vehicle.frames import FrameNames
from snn_controller.vehicle.state import Odometry, Reference
from snn_sim.doubles.px4.dds_vehicle import Px4Stub
from snn_sim.doubles.px4.firmware import Px4Mode

START = 10**18  # ns, nothing to do with the vehicle's clock
TICK = 0.01  # s
POINT = np.array([0.0, 0.0, 1.0])


class Flight:
    """The link and its vehicle in one time."""

    def __init__(self, kind: str) -> None:
        self.stub = Px4Stub()
        self.quadrotor = self.stub.body.quadrotor
        self.kind = kind
        options = LinkOptions(
            hover_thrust=self.quadrotor.hover_throttle, thrust_curve=1.0, start_frame=False
        )
        self.link = Px4Link(self.stub, options, kind, sleep=self.advance)
        self.status = LinkStatus()
        self.odometry: Odometry | None = None
        self.rotors = np.zeros(4)

    @property
    def now(self) -> int:
        return START + round(self.stub.body.time * 1e9)

    def advance(self, seconds: float) -> None:
        for _ in range(round(seconds / self.stub.body.period)):
            self.stub.step()

    def tick(self, command: Command) -> LinkStatus:
        self.advance(TICK)
        self.status = self.link.poll(self.now)
        self.odometry = self.status.odometry or self.odometry
        self.link.send(command, self.now)
        return self.status

    def stop(self, seconds: float) -> LinkStatus:
        for _ in range(round(seconds / TICK)):
            self.tick(stop_command(self.kind))
        return self.status

    def arm(self) -> LinkStatus:
        self.link.arm()
        return self.stop(3.0)

    def guide(self) -> Command:
        state, reference = self.odometry.state, Reference(POINT)
        if self.kind == "thrust_rates":
            values = geometric_thrust_rates(state, reference, gravity=9.81, gains=GuideGains())
            return Command(self.kind, values)
        gains = GuideGains(rate=RateGains(lead=2.0))
        action = geometric_control(
            state, reference, self.rotors, quadrotor=self.quadrotor, gains=gains
        )
        throttle = throttle_from_action(action)
        self.rotors = self.quadrotor.step_rotors(self.rotors, throttle, TICK)
        return Command(self.kind, throttle)

    def fly(self, seconds: float) -> np.ndarray:
        path = []
        for _ in range(round(seconds / TICK)):
            self.tick(self.guide())
            path.append(self.stub.body.state.position)
        return np.array(path)


@pytest.fixture(params=["thrust_rates", "motors"])
def flight(request: pytest.FixtureRequest) -> Iterator[Flight]:
    flight = Flight(request.param)
    flight.stop(0.5)
    yield flight
    flight.stub.body.close()


def test_it_arms_hovers_and_publishes_setpoints_only_in_offboard(flight: Flight) -> None:
    assert flight.stub.published == []  # nobody has armed
    status = flight.arm()
    assert status.armed and status.in_control and status.mode == "OFFBOARD"
    flight.fly(4.0)
    assert np.abs(flight.fly(2.0) - POINT).max() < 0.05
    assert flight.stub.ungated == 0
    assert status.battery == pytest.approx(3.9) and status.age == 0.0


def test_a_pilots_mode_closes_the_gate_and_nothing_is_asked_again(flight: Flight) -> None:
    flight.arm()
    flight.fly(3.0)
    flight.stub.firmware.request_mode(Px4Mode.POSCTL, flight.stub.body.time)
    flight.fly(0.3)
    assert not flight.status.in_control and "POSCTL" in flight.status.refusal
    flight.stub.published.clear()
    flight.stub.ungated = 0
    flight.fly(2.0)
    assert flight.stub.published == [] and flight.stub.ungated == 0


def test_a_silent_status_closes_the_gate(flight: Flight) -> None:
    flight.arm()
    flight.fly(1.0)
    flight.stub.silent = True
    flight.stop(1.2)
    flight.stub.published.clear()
    status = flight.stop(0.5)
    assert set(flight.stub.published) == {"OffboardControlMode"}
    assert status.age > 1.0


def test_a_closed_gate_is_no_control_though_odometry_comes(flight: Flight) -> None:
    flight.arm()
    flight.fly(2.0)
    flight.stub.muted = frozenset({"VehicleStatus"})
    flight.fly(0.7)
    assert flight.status.in_control
    flight.fly(0.6)
    assert not flight.status.in_control and flight.status.age < 0.1


def test_a_refusal_is_told_and_kill_and_close_do_what_they_say(flight: Flight) -> None:
    flight.stub.firmware.prearm_failure = "compass"
    assert "temporarily rejected: its pre-flight checks fail" in flight.arm().refusal
    flight.stub.firmware.prearm_failure = ""
    assert flight.stop(2.0).armed
    flight.fly(2.0)
    flight.link.kill()
    flight.stop(0.3)
    assert not flight.stub.firmware.armed


def test_close_lands_in_the_air_and_disarms_on_the_ground(flight: Flight) -> None:
    flight.arm()
    flight.fly(3.0)
    flight.link.close()
    assert flight.stub.firmware.mode is Px4Mode.LAND and flight.stub.firmware.armed
    flight.link.close()
    flight.link.release()
    assert flight.stub.closed
    other = Flight(flight.kind)
    other.arm()
    other.link.close()
    assert not other.stub.firmware.armed
    other.stub.body.close()


def test_a_vehicle_that_is_no_multirotor_is_told_and_not_armed(flight: Flight) -> None:
    flight.stub.vehicle_type = 2
    flight.stop(0.5)
    status = flight.arm()
    assert status.refusal == "the vehicle is not a multirotor; check PX4's airframe"
    assert not status.armed and flight.stub.firmware.mode is not Px4Mode.OFFBOARD
    assert "VehicleCommand" not in flight.stub.published


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_stop_the_motors(flight: Flight, bad: float) -> None:
    flight.arm()
    for _ in range(50):
        flight.tick(Command(flight.kind, np.array([bad, 0.5, 0.5, 0.5])))
    assert flight.stub.body.on_ground


def test_odometry_turns_to_enu_and_flu_with_its_deviations(flight: Flight) -> None:
    flight.arm()
    flight.fly(1.0)
    truth, told = flight.stub.body.state, flight.status.odometry
    np.testing.assert_allclose(told.state.position, truth.position, atol=1e-5)
    np.testing.assert_allclose(told.state.rotation, truth.rotation, atol=1e-5)
    np.testing.assert_allclose(told.state.velocity, truth.velocity, atol=1e-5)
    np.testing.assert_allclose(told.state.body_rates, truth.body_rates, atol=1e-4)
    assert told.position_deviation == pytest.approx(0.2)
    assert told.velocity_deviation == 0.0
    assert told.frame == "odom"


def test_velocity_in_the_body_is_turned_and_other_frames_keep_their_number() -> None:
    stub = Px4Stub()
    stub.step()
    sample = stub.take("VehicleOdometry")
    names = FrameNames("odom", "base_link")
    sample.q = [np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]  # heading east
    sample.velocity, sample.velocity_frame = [3.0, 0.0, 1.0], 3
    told = odometry_from_px4(sample, 0, names)
    np.testing.assert_allclose(told.state.velocity, [3.0, 0.0, -1.0], atol=1e-6)
    sample.pose_frame, sample.velocity_frame = 0, 0
    told = odometry_from_px4(sample, 0, names)
    assert (told.frame, told.child_frame) == ("PX4 frame 0", "PX4 frame 0")
    stub.body.close()


# The start


class Waiting:
    """Time that passes while somebody waits."""

    def __init__(self, stub: Px4Stub) -> None:
        self.stub, self.time = stub, 0.0

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.stub.step()

    def check(self) -> None:
        await_px4(self.stub, elapsed=lambda: self.time, sleep=self.sleep)


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    stub = Px4Stub()
    yield Waiting(stub)
    stub.body.close()


def test_a_vehicle_that_defines_its_messages_alike_is_accepted(waiting: Waiting) -> None:
    waiting.check()
    assert waiting.time < 1.0


def test_every_difference_is_told_in_a_sentence(waiting: Waiting) -> None:
    stub = waiting.stub
    hashes = dict(stub.hashes)
    stub.hashes["VehicleStatus"] ^= 1
    with pytest.raises(UserError, match="defines VehicleStatus otherwise than px4_msgs here"):
        waiting.check()
    stub.hashes = {}  # firmware that does not answer
    with pytest.raises(UserError, match=r"since 1\.15: update the firmware"):
        waiting.check()
    stub.hashes = hashes
    stub.silent = True
    stub.seen = {"/fmu/out/vehicle_status_v2"}
    with pytest.raises(UserError, match="PX4 has /fmu/out/vehicle_status_v2, but px4_msgs"):
        waiting.check()
    stub.seen = {"/fmu/out/vehicle_status_v1", "/fmu/in/vehicle_command"}
    with pytest.raises(UserError, match=r"PX4 is not heard .* start the uXRCE-DDS agent"):
        waiting.check()
    del stub.definitions["MessageFormatRequest"]
    with pytest.raises(UserError, match="has no message MessageFormatRequest"):
        waiting.check()
    del stub.definitions["OffboardControlMode"]["direct_actuator"]
    with pytest.raises(UserError, match="has no field 'direct_actuator'"):
        waiting.check()


def test_hashes_and_names_are_px4s() -> None:
    assert message_hash({}) == 0x811C9DC5  # FNV-1a of nothing
    assert message_hash({"b": "boolean"}) == fnv1a(b"bool b\n")
    assert message_hash({"x": "float[3]", "y": "double"}) == fnv1a(b"float32[3] x\nfloat64 y\n")
    assert fnv1a(b"foobar") == 0xBF9CF968  # published test value
    assert topic_name("fmu/out/vehicle_status", 0) == "/fmu/out/vehicle_status"
    assert topic_name("fmu/out/vehicle_status", 4) == "/fmu/out/vehicle_status_v4"


def fnv1a(data: bytes) -> int:
    value = 2166136261
    for byte in data:
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def test_px4_msgs_that_is_not_there_is_told_in_a_sentence() -> None:
    pytest.importorskip("rclpy")
    from snn_controller.nodes.controller.px4_topics import _import_px4_msgs

    with pytest.raises(UserError, match="needs the ROS package px4_msgs"):
        _import_px4_msgs()
