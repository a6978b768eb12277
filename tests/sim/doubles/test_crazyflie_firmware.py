"""The Crazyflie double in lockstep: what its firmware was observed to do, and no more."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest

from snn_controller.control.geometric import GuideGains, geometric_thrust_rates
from snn_controller.flight_controllers.crazyflie.messages import (
    STATE_VARIABLES,
    Setpoint,
    setpoint_from_command,
    state_from_log,
)
from snn_controller.vehicle.action import Command, limit_thrust_rates, stop_command
from snn_controller.vehicle.frames import GRAVITY, axis_angle_to_quaternion, multiply_quaternions
from snn_controller.vehicle.state import Reference, State
from snn_sim.doubles.crazyflie.firmware import (
    HOVER_THRUST,
    LEVEL_AGE,
    STEP,
    STOP_AGE,
    CrazyflieFirmware,
    Phase,
    ground_firmware,
)

HOVER = HOVER_THRUST / 65535
EMERGENCY_STOP = bytes([0x61, 3])
STOP_SETPOINT = bytes([0x70, 0])
HAND_OVER = bytes([0x71, 0, 0, 0, 0, 0])
TICK = 10 // STEP


@pytest.fixture
def firmware() -> Iterator[CrazyflieFirmware]:
    vehicle = ground_firmware()
    run(vehicle, 20)
    yield vehicle
    vehicle.drone.close()


def run(vehicle: CrazyflieFirmware, milliseconds: int) -> list[bytes]:
    return [data for _ in range(milliseconds // STEP) for data in vehicle.step()]


def wire(setpoint: Setpoint) -> bytes:
    """Return the frame that cflib makes of a setpoint: it turns the sign of pitch."""
    angles = (setpoint.roll, -setpoint.pitch, setpoint.yaw)
    return bytes([0x3C]) + struct.pack("<fffH", *angles, setpoint.thrust)


def send(vehicle: CrazyflieFirmware, command: Command) -> None:
    setpoint = setpoint_from_command(command, lambda thrust: HOVER * thrust / GRAVITY)
    assert setpoint is not None
    vehicle.receive(wire(setpoint))


def thrust_rates(*values: float) -> Command:
    return Command("thrust_rates", np.array(values))


def write(vehicle: CrazyflieFirmware, name: str, value: int) -> None:
    index = list(vehicle.parameters.values).index(name)
    assert vehicle.receive(bytes([0x2E]) + struct.pack("<HB", index, value))


def rate_mode(vehicle: CrazyflieFirmware) -> None:
    write(vehicle, "flightmode.stabModeRoll", 0)
    write(vehicle, "flightmode.stabModePitch", 0)


def in_the_air(vehicle: CrazyflieFirmware, quaternion: tuple[float, ...] = (0, 0, 0, 1)) -> None:
    """Put the vehicle 20 m up with its motors at hover."""
    rate_mode(vehicle)
    send(vehicle, stop_command("thrust_rates"))
    state = State(np.array([0.0, 0.0, 20.0]), np.array(quaternion), np.zeros(3), np.zeros(3))
    vehicle.drone.reset(state, np.full(4, vehicle.drone.quadrotor.hover_throttle))
    send(vehicle, thrust_rates(9.81, 0, 0, 0))


def test_thrust_waits_for_a_setpoint_without(firmware: CrazyflieFirmware) -> None:
    send(firmware, thrust_rates(9.81, 0.0, 0.0, 0.0))
    run(firmware, 20)
    assert not firmware.motors_turn
    send(firmware, stop_command("thrust_rates"))
    send(firmware, thrust_rates(9.81, 0.0, 0.0, 0.0))
    run(firmware, 20)
    assert firmware.motors_turn


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rates_turn_as_the_core_means_them(
    firmware: CrazyflieFirmware, axis: int, sign: float
) -> None:
    in_the_air(firmware)
    rates = np.zeros(3)
    rates[axis] = sign
    for _ in range(40):
        send(firmware, thrust_rates(9.81, *rates))
        run(firmware, 10)
    assert firmware.drone.state.body_rates == pytest.approx(rates, abs=0.1)


def test_the_logged_pitch_has_the_other_sign(firmware: CrazyflieFirmware) -> None:
    nose_down = axis_angle_to_quaternion(np.array([0.0, 1.0, 0.0]), 0.2)
    in_the_air(firmware, tuple(nose_down.tolist()))
    assert firmware._read("stateEstimate.pitch") == pytest.approx(np.degrees(-0.2), abs=0.5)
    assert firmware._read("gyro.y") == pytest.approx(
        np.degrees(firmware.drone.state.body_rates[1]), abs=1e-9
    )


def test_silence_levels_and_then_stops_and_locks(firmware: CrazyflieFirmware) -> None:
    tilted = axis_angle_to_quaternion(np.array([1.0, 0.0, 0.0]), 0.4)
    in_the_air(firmware, tuple(tilted.tolist()))
    run(firmware, 100)
    assert firmware.supervisor.info() == 30
    run(firmware, LEVEL_AGE - 100)
    assert firmware.supervisor.phase is Phase.FLYING
    run(firmware, STEP)
    assert firmware.supervisor.phase is Phase.LEVEL
    run(firmware, STOP_AGE - LEVEL_AGE - STEP)
    assert firmware.motors_turn
    assert np.linalg.norm(firmware.drone.state.rotation[:2, 2]) < 0.02
    run(firmware, STEP)
    assert not firmware.motors_turn
    assert firmware.supervisor.info() == 68
    send(firmware, stop_command("thrust_rates"))
    send(firmware, thrust_rates(9.81, 0, 0, 0))
    run(firmware, 100)
    assert not firmware.motors_turn  # until a restart


def test_a_setpoint_in_time_takes_the_vehicle_back(firmware: CrazyflieFirmware) -> None:
    in_the_air(firmware)
    run(firmware, 1500)
    assert firmware.supervisor.phase is Phase.LEVEL
    send(firmware, thrust_rates(9.81, 0, 0, 0))
    run(firmware, 2 * STEP)
    assert firmware.supervisor.phase is Phase.FLYING


@pytest.mark.parametrize("hand_over", [False, True])
def test_silence_after_landing_locks_unless_handed_over(
    firmware: CrazyflieFirmware, hand_over: bool
) -> None:
    send(firmware, stop_command("thrust_rates"))
    send(firmware, thrust_rates(1.0, 0, 0, 0))
    run(firmware, 100)
    send(firmware, stop_command("thrust_rates"))
    run(firmware, 100)
    if hand_over:
        firmware.receive(HAND_OVER)
    run(firmware, 3000)
    assert (firmware.supervisor.phase is Phase.LOCKED) is not hand_over
    assert (firmware.supervisor.phase is Phase.LANDED) is hand_over


@pytest.mark.parametrize("data", [EMERGENCY_STOP, STOP_SETPOINT])
def test_stops_stop_the_motors_at_once(firmware: CrazyflieFirmware, data: bytes) -> None:
    in_the_air(firmware)
    run(firmware, 20)
    assert firmware.motors_turn
    firmware.receive(data)
    run(firmware, STEP)
    assert not firmware.motors_turn
    assert (firmware.supervisor.phase is Phase.LOCKED) is (data == EMERGENCY_STOP)


def test_a_vehicle_on_its_back_does_not_fly(firmware: CrazyflieFirmware) -> None:
    back = np.array([1.0, 0.0, 0.0, 0.0])
    firmware.drone.reset(State(np.array([0, 0, 0.02]), back, np.zeros(3), np.zeros(3)), np.zeros(4))
    run(firmware, 300)
    assert not firmware.supervisor.may_fly
    assert firmware.supervisor.info() & 32


@pytest.mark.parametrize("protocol", [7, 12])
def test_builds_that_want_arming_wait_for_it(protocol: int) -> None:
    vehicle = ground_firmware(auto_arming=False, protocol=protocol)
    run(vehicle, 20)
    assert vehicle.supervisor.info() == 1
    request = bytes([0xDC, 1, 1]) if protocol == 7 else bytes([0x9D, 1, 1])
    (answer,) = vehicle.receive(request)
    assert answer[-2:] == b"\x01\x01"
    run(vehicle, 20)
    assert vehicle.supervisor.info() == 2 + 8
    vehicle.drone.close()


def test_the_guide_flies_home_through_the_wire(firmware: CrazyflieFirmware) -> None:
    """Closed loop by frames only, from a start that every wrong sign or unit would crash."""
    write(firmware, "stabilizer.estimator", 2)
    in_the_air(firmware)
    turned = multiply_quaternions(
        axis_angle_to_quaternion(np.array([0.0, 0.0, 1.0]), 0.6),
        axis_angle_to_quaternion(np.array([0.6, 0.8, 0.0]), 0.7),
    )
    start = State(np.array([0.4, -0.3, 5.2]), turned, np.array([1.0, 0.5, 0.0]), np.ones(3))
    firmware.drone.reset(start, np.full(4, firmware.drone.quadrotor.hover_throttle))
    names = list(firmware._logs._names)
    block = b"".join(struct.pack("<BH", 8, names.index(name)) for name in STATE_VARIABLES)
    assert firmware.receive(bytes([0x5D, 6, 0]) + block[:27])[0][-1] == 0
    assert firmware.receive(bytes([0x5D, 7, 0]) + block[27:])[0][-1] == 0
    firmware.receive(bytes([0x5D, 3, 0, 1]))
    target = Reference(np.array([0.0, 0.0, 5.0]))
    for _ in range(400):
        (log,) = run(firmware, 10)
        state = state_from_log(struct.unpack("<13e", log[5:]))
        values = geometric_thrust_rates(state, target, gravity=9.81, gains=GuideGains())
        send(firmware, Command("thrust_rates", limit_thrust_rates(values)))
    assert np.linalg.norm(firmware.drone.state.position - target.position) < 0.02
    assert firmware.supervisor.phase is Phase.FLYING


def test_damaged_frames_neither_crash_nor_move(firmware: CrazyflieFirmware) -> None:
    """A hundred thousand frames: random bytes, and true ones cut, lengthened or with bits turned.

    Only the pair of setpoints that really means thrust may move a vehicle; frames of the commander
    port are damaged in their length here, which no firmware may take for a setpoint.
    """
    rng = np.random.default_rng(5)
    true = [
        bytes([0x5D, 6, 1, 7, 0, 0, 7, 1, 0]),
        bytes([0x5D, 3, 1, 1]),
        bytes([0x2E, 0, 0, 1]),
        bytes([0x5C, 3]),
        bytes([0xFD, 0]),
        bytes([0xDC, 1, 1]),
        bytes([0x6D, 8]) + bytes(28),
        wire(Setpoint(1.0, 2.0, 3.0, 40000))[:-1],
    ]
    before = firmware.drone.state.position
    for i in range(100_000):
        data = bytearray(true[i % len(true)])
        if i % 3 == 0:
            data = bytearray(rng.bytes(int(rng.integers(0, 40))))
        else:
            for _ in range(int(rng.integers(1, 4))):
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            data = data[: int(rng.integers(len(data) + 1))]
        if data and data[0] >> 4 == 3:
            data = data[:14]
        for answer in firmware.receive(bytes(data)):
            assert 1 <= len(answer) <= 32
        if i % 50 == 0:
            firmware.step()
            assert not firmware.motors_turn
    assert firmware.drone.state.position == pytest.approx(before, abs=1e-3)
