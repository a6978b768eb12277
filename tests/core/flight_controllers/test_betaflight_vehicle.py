"""Which settings of a vehicle are read, and which are refused, by the answers of Betaflight 4.6."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.flight_controllers.betaflight.msp import MspClient
from snn_controller.flight_controllers.betaflight.vehicle import BetaflightVehicle, read_vehicle
from snn_controller.flight_controllers.registry import LinkOptions
from support.betaflight_double import AUX1, SETTINGS, BetaflightDouble


def read(double: BetaflightDouble) -> BetaflightVehicle:
    return read_vehicle(MspClient(double, "tcp:double"), LinkOptions(hover_thrust=0.4))


def refusal(**answers: bytes) -> str:
    with pytest.raises(UserError) as caught:
        read(BetaflightDouble(**answers))
    return str(caught.value)


def changed(command: int, place: int, value: int) -> bytes:
    return bytes(value if i == place else byte for i, byte in enumerate(SETTINGS[command]))


def test_a_fit_vehicle_is_read() -> None:
    vehicle = read(BetaflightDouble())
    assert vehicle.description == "Betaflight 4.6.0 at tcp:double"
    assert vehicle.channel_map == (0, 1, 3, 2)
    assert (vehicle.arm_channel, vehicle.arm_pulse) == (AUX1, 1850)
    assert vehicle.modes[0] == 0


def test_another_firmware_is_refused() -> None:
    assert refusal(VARIANT=b"INAV") == (
        "the flight controller at tcp:double runs 'INAV', not Betaflight (BTFL); choose the link"
        " that fits it"
    )


def test_an_old_firmware_is_refused() -> None:
    text = refusal(API_VERSION=bytes([0, 1, 41]), VERSION=bytes([4, 0, 6]))
    assert text == "Betaflight 4.0.6 (MSP 1.41) is too old; update it to 4.3 or newer"


def test_another_receiver_is_refused() -> None:
    assert "choose 'MSP' as receiver mode" in refusal(FEATURES=bytes([8, 0, 64, 16]))


def test_reversible_motors_are_refused() -> None:
    assert "3D mode" in refusal(FEATURES=bytes([0, 80, 64, 16]))


def test_a_throttle_that_outlives_the_link_is_refused() -> None:
    assert "holds its throttle" in refusal(RX_FAIL_CONFIG=changed(msp.RX_FAIL_CONFIG, 9, 1))


def test_a_vehicle_without_an_arm_switch_is_refused() -> None:
    assert "no switch that arms" in refusal(MODE_RANGES=bytes(80))


def test_modes_that_are_always_on_are_refused() -> None:
    angle_always = bytes([0, 0, 32, 48, 1, 1, 0, 48]) + bytes(72)
    assert "AUX2 leave no position in which all are off" in refusal(MODE_RANGES=angle_always)


def test_other_modes_stay_off() -> None:
    angle_when_low = bytes([0, 0, 32, 48, 1, 1, 0, 16]) + bytes(72)  # up to 1300 us
    assert read(BetaflightDouble(MODE_RANGES=angle_when_low)).quiet[5] == 1325


def test_a_bent_throttle_is_refused() -> None:
    assert "throttle expo to 0" in refusal(RC_TUNING=changed(msp.RC_TUNING, 7, 30))
    assert "throttle expo to 0" in refusal(RC_TUNING=changed(msp.RC_TUNING, 23, 40))
    limited = changed(msp.RC_TUNING, 14, 1)
    assert "limit to Off" in refusal(RC_TUNING=limited[:15] + bytes([80]) + limited[16:])


def test_slow_rates_are_refused() -> None:
    assert "roll rate ends at 2.1 rad/s" in refusal(RC_TUNING=changed(msp.RC_TUNING, 2, 12))


def test_a_camera_angle_is_refused() -> None:
    assert "fpv_cam_degrees" in refusal(RX_CONFIG=changed(msp.RX_CONFIG, 22, 20))


def test_sticks_on_other_channels_are_refused() -> None:
    assert "choose AETR1234" in refusal(RX_MAP=bytes([4, 1, 3, 2]))


def test_an_answer_that_is_too_short_is_refused() -> None:
    assert "too few for its MSP version" in refusal(RC_TUNING=bytes(12))


@settings(max_examples=100)
@given(st.sampled_from(sorted(SETTINGS)), st.binary(max_size=60))
def test_whatever_a_vehicle_answers_it_is_flown_or_refused(command: int, answer: bytes) -> None:
    double = BetaflightDouble()
    double.settings[command] = answer
    try:
        vehicle = read(double)
    except UserError as error:
        assert str(error)
    else:
        assert isinstance(vehicle, BetaflightVehicle)
