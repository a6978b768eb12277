from __future__ import annotations

import struct

import numpy as np
import pytest

from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.frames import GRAVITY
from snn_controller.vehicle.state import State
from snn_sim.betaflight.plant import pack_state, unpack_motors

LEVEL = np.array([0.0, 0.0, GRAVITY])


def test_a_state_is_told_in_the_firmwares_frames() -> None:
    quaternion = np.array([0.1, 0.2, 0.3, np.sqrt(1.0 - 0.14)])  # xyzw
    state = State(
        np.array([1.0, 2.0, 3.0]), quaternion, np.array([4.0, 5.0, 6.0]), np.array([7.0, 8.0, 9.0])
    )
    packet = pack_state(state, np.array([0.5, -0.5, 9.0]))
    assert len(packet) == 144
    values = struct.unpack("<18d", packet)
    assert values[0] == 1.0  # constant: the firmware scales its clock by it
    assert values[1:4] == (7.0, -8.0, -9.0)
    assert values[4:7] == (-0.5, 0.5, -9.0)
    assert values[7:11] == pytest.approx((quaternion[3], 0.1, -0.2, -0.3))
    assert values[11:14] == (4.0, 5.0, 6.0)
    assert values[14:17] == (1.0, 2.0, 3.0)
    assert values[17] == 101325.0 - 36.0


def test_an_impact_stays_within_the_range_of_an_accelerometer() -> None:
    state = State.at_rest(np.zeros(3))
    values = struct.unpack("<18d", pack_state(state, np.array([0.0, 0.0, 1e6])))
    assert values[6] == pytest.approx(-16.0 * GRAVITY)


def test_motors_come_in_the_order_of_our_airframes(quadrotor: Quadrotor) -> None:
    front_right, back_left, front_left, back_right = 0.1, 0.2, 0.3, 0.4
    throttle = unpack_motors(struct.pack("<4f", front_right, back_left, front_left, back_right))
    assert throttle is not None
    by_place = {
        (bool(x > 0), bool(y > 0)): u
        for (x, y), u in zip(quadrotor.rotor_positions, throttle, strict=True)
    }
    assert by_place[True, False] == pytest.approx(front_right)
    assert by_place[False, True] == pytest.approx(back_left)
    assert by_place[True, True] == pytest.approx(front_left)
    assert by_place[False, False] == pytest.approx(back_right)


@pytest.mark.parametrize(
    "packet", [b"", bytes(15), bytes(17), struct.pack("<4f", np.nan, 0.0, 0.0, 0.0)]
)
def test_packets_of_another_kind_are_ignored(packet: bytes) -> None:
    assert unpack_motors(packet) is None


def test_throttle_is_kept_in_its_range() -> None:
    throttle = unpack_motors(struct.pack("<4f", -1.0, 2.0, 0.5, 0.5))
    assert throttle is not None
    assert throttle.min() == 0.0 and throttle.max() == 1.0
