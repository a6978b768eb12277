from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.flight_controllers.betaflight.rc_channels import (
    SPAN,
    RcChannels,
    check_rates,
    nearest_offset,
    rate_tables,
)
from snn_controller.flight_controllers.shared.estimate import throttle_from_thrust
from snn_controller.vehicle.action import RATE_LIMITS, Command, stop_command
from support.betaflight_double import SETTINGS

DEFAULTS = msp.parse_rates(SETTINGS[msp.RC_TUNING])
RECEIVER = msp.parse_receiver(SETTINGS[msp.RX_CONFIG])
TABLES = rate_tables(DEFAULTS, (0, 0, 0))
STICKS = RcChannels(TABLES, RECEIVER, hover_thrust=0.4, thrust_curve=0.0)
# One set per formula: kind, rc rates, rates, expo, and the rate in degrees/s at full stick.
FORMULAS = [
    (0, 120, 70, 10, 800.0),
    (1, 37, 80, 50, 666.0),
    (2, 100, 70, 20, 666.7),
    (3, 7, 67, 40, 670.0),
    (4, 90, 67, 0, 670.0),
]


def profile(kind: int, rc_rate: int, rate: int, expo: int) -> msp.RateProfile:
    return replace(
        DEFAULTS, kind=kind, rc_rates=(rc_rate,) * 3, rates=(rate,) * 3, expo=(expo,) * 3
    )


def thrust_rates(thrust: float, *rates: float) -> Command:
    return Command("thrust_rates", np.array([thrust, *rates]))


@given(st.floats(-6.0, 6.0))
def test_the_default_rates_are_inverted_as_their_formula_says(rate: float) -> None:
    degrees = abs(math.degrees(rate))
    stick = (-70.0 + math.sqrt(4900.0 + 2400.0 * degrees)) / 1200.0
    roll, pitch, _, _ = STICKS.pulses(thrust_rates(9.81, rate, -rate, 0.0))
    expected = math.copysign(500.0 * stick, rate)
    assert abs(roll - 1500 - expected) <= 1.0
    assert abs(pitch - 1500 + expected) <= 1.0


@pytest.mark.parametrize(("kind", "rc_rate", "rate", "expo", "highest"), FORMULAS)
def test_every_formula_is_inverted_to_a_pulse(
    kind: int, rc_rate: int, rate: int, expo: int, highest: float
) -> None:
    table, _, _ = rate_tables(profile(kind, rc_rate, rate, expo), (0, 0, 0))
    assert math.degrees(table[-1]) == pytest.approx(highest, abs=0.1)
    for wanted in np.linspace(-6.0, 6.0, 49):
        pulse = round(nearest_offset(table, wanted))
        got = math.copysign(table[abs(pulse)], pulse)
        step = np.diff(table).max()
        assert abs(got - wanted) <= step


def test_yaw_turns_against_the_stick_and_roll_and_pitch_with_it() -> None:
    roll, pitch, yaw, _ = STICKS.pulses(thrust_rates(9.81, 1.0, 1.0, 1.0))
    assert roll > 1500 and pitch > 1500 and yaw < 1500


def test_no_rate_is_the_middle_and_a_stop_is_no_throttle() -> None:
    assert STICKS.pulses(thrust_rates(9.81, 0.0, 0.0, 0.0))[:3] == (1500, 1500, 1500)
    assert STICKS.pulses(stop_command("thrust_rates")) == (1500, 1500, 1500, 1000)


def test_hovering_takes_the_throttle_that_was_named() -> None:
    *_, throttle = STICKS.pulses(thrust_rates(9.81, 0.0, 0.0, 0.0))
    assert throttle == round(1050 + 0.4 * 950)
    *_, double = STICKS.pulses(thrust_rates(2 * 9.81, 0.0, 0.0, 0.0))
    assert double == round(1050 + 0.8 * 950)
    *_, none = STICKS.pulses(thrust_rates(0.0, 0.0, 0.0, 0.0))
    assert none == 1050


def test_a_curved_thrust_is_undone() -> None:
    curved = replace(STICKS, thrust_curve=1.0)
    *_, throttle = curved.pulses(thrust_rates(4 * 9.81, 0.0, 0.0, 0.0))
    assert throttle == round(1050 + 950 * throttle_from_thrust(4 * 9.81, 0.4, 1.0))
    assert throttle == round(1050 + 950 * 0.8)  # four times the thrust, twice the throttle


def test_a_deadband_is_jumped_over() -> None:
    tables = rate_tables(DEFAULTS, (10, 10, 20))
    assert tables[0][10] == 0.0 and tables[0][11] > 0.0 and tables[2][20] == 0.0
    assert tables[0][SPAN] == pytest.approx(math.radians(670.0))
    assert nearest_offset(tables[0], 0.5) > nearest_offset(TABLES[0], 0.5)


def test_rates_that_policies_need_are_checked() -> None:
    check_rates(TABLES)
    slow = rate_tables(replace(DEFAULTS, rates=(67, 20, 67)), (0, 0, 0))
    with pytest.raises(UserError, match=r"pitch rate ends at 3\.5 rad/s .* 344 degrees/s"):
        check_rates(slow)
    limited = rate_tables(replace(DEFAULTS, limits=(1998, 1998, 100)), (0, 0, 0))
    with pytest.raises(UserError, match="yaw rate ends"):
        check_rates(limited)
    assert (RATE_LIMITS == [6.0, 6.0, 3.0]).all()


def test_an_unknown_or_senseless_formula_is_refused() -> None:
    with pytest.raises(UserError, match="rates type 9"):
        rate_tables(replace(DEFAULTS, kind=9), (0, 0, 0))
    with pytest.raises(UserError, match="does not grow"):
        rate_tables(profile(0, 0, 0, 0), (0, 0, 0))
    with pytest.raises(UserError, match="quick"):
        rate_tables(profile(4, 90, 67, 30), (0, 0, 0))
