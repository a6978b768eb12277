from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import msp_messages as msp
from support.betaflight_double import SETTINGS

DAMAGED_PAYLOADS = 100_000
PARSERS: list[Callable[[bytes], object]] = [
    msp.parse_status,
    msp.parse_mode_ranges,
    msp.parse_rates,
    msp.parse_receiver,
    msp.parse_deadbands,
    msp.parse_rx_fail,
    msp.parse_battery,
]
# What Betaflight 4.6.0 answered on the ground, disarmed, without commands.
STATUS = bytes([125, 0, 0, 0, 35, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 29, 4, 19, 0, 0, 0, 0, 0, 4])


def test_the_status_of_the_real_firmware() -> None:
    status = msp.parse_status(STATUS)
    assert status.cycle_time == 125 and status.modes == 0
    words = msp.arming_words(status.arming_flags)
    names = [part.split(" ")[0] for part in words.split(", ")]
    assert names == ["RXLOSS", "ANGLE", "BOOTGRACE", "CALIB"]


def test_arming_flags_are_told_in_words() -> None:
    assert msp.arming_words(0) == ""
    words = msp.arming_words(1 << 7 | 1 << 9 | 1 << 31)
    assert words.startswith("THROTTLE (the throttle is not low), BOOTGRACE (it is still starting")
    assert words.endswith("unknown reasons 0x80000000")
    assert len(msp.ARMING_FLAGS) == 29


def test_a_status_with_more_modes_keeps_its_flags() -> None:
    more = STATUS[:15] + bytes([0x12, 0b1, 0b10]) + STATUS[16:]
    status = msp.parse_status(more)
    assert status.modes == (1 << 32) | (1 << 41)
    assert status.arming_flags == msp.parse_status(STATUS).arming_flags


def test_the_settings_of_the_real_firmware() -> None:
    rates = msp.parse_rates(SETTINGS[msp.RC_TUNING])
    assert rates.kind == 3 and rates.rc_rates == (7, 7, 7) and rates.rates == (67, 67, 67)
    assert rates.limits == (1998, 1998, 1998)
    assert rates.throttle_is_linear and not rates.throttle_is_limited
    receiver = msp.parse_receiver(SETTINGS[msp.RX_CONFIG])
    assert (receiver.middle, receiver.low, receiver.camera_angle) == (1500, 1050, 0)
    assert msp.parse_mode_ranges(SETTINGS[msp.MODE_RANGES]) == (msp.ModeRange(0, 0, 1700, 2100),)
    assert msp.parse_rx_fail(SETTINGS[msp.RX_FAIL_CONFIG])[:4] == (*[(0, 1500)] * 3, (0, 875))


def test_a_hundred_thousand_damaged_payloads_are_read_or_refused() -> None:
    """About 3 s on a quiet machine."""
    source = random.Random(3)
    samples = [STATUS, *SETTINGS.values()]
    refused = 0
    for number in range(DAMAGED_PAYLOADS):
        payload = bytearray(source.choice(samples)[: source.randrange(40)])
        if payload:
            payload[source.randrange(len(payload))] = source.randrange(256)
        try:
            PARSERS[number % len(PARSERS)](bytes(payload))
        except UserError:
            refused += 1
    assert 0 < refused < DAMAGED_PAYLOADS


@pytest.mark.parametrize("parse", [msp.parse_status, msp.parse_rates, msp.parse_receiver])
def test_a_payload_that_is_too_short_is_refused(parse: Callable[[bytes], object]) -> None:
    with pytest.raises(UserError, match="too few for its MSP version"):
        parse(bytes(5))
