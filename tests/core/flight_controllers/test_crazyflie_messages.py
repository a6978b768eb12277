"""Units, signs and sentences of the Crazyflie link, without cflib."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_controller.flight_controllers.crazyflie.messages import (
    HIGHEST_THRUST,
    LOWEST_THRUST,
    STATE_VARIABLES,
    STATUS_TYPES,
    STATUS_VARIABLES,
    STOP,
    Supervisor,
    arming_obstacle,
    check_endpoint,
    mode_in_words,
    setpoint_from_command,
    specific_force_from_log,
    state_from_log,
)
from snn_controller.vehicle.action import Command, stop_command
from snn_controller.vehicle.frames import GRAVITY


def command(thrust: float, *rates: float) -> Command:
    return Command("thrust_rates", np.array([thrust, *rates]))


def half(thrust: float) -> float:
    return 0.5


def test_rates_become_degrees_with_the_signs_of_cflib() -> None:
    setpoint = setpoint_from_command(command(GRAVITY, 1.0, 2.0, 3.0), half)
    assert setpoint is not None
    angles = (setpoint.roll, setpoint.pitch, setpoint.yaw)
    assert angles == pytest.approx((57.29578, 114.59156, -171.88734))
    assert setpoint.thrust == 32768


@given(st.floats(0.0, 1.0))
def test_thrust_stays_between_what_the_firmware_takes(throttle: float) -> None:
    setpoint = setpoint_from_command(command(GRAVITY, 0.0, 0.0, 0.0), lambda thrust: throttle)
    assert setpoint is not None
    wanted = min(max(65535 * throttle, LOWEST_THRUST), HIGHEST_THRUST)
    assert setpoint.thrust == pytest.approx(wanted, abs=0.6)


def test_a_stop_command_is_no_thrust_at_all() -> None:
    assert setpoint_from_command(stop_command("thrust_rates"), half) is STOP
    assert STOP.thrust == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_what_is_not_finite_is_not_sent(bad: float, place: int) -> None:
    values = np.array([GRAVITY, 0.0, 0.0, 0.0])
    values[place] = bad
    assert setpoint_from_command(Command("thrust_rates", values), half) is None


def test_the_log_becomes_si_units() -> None:
    values = dict.fromkeys(STATE_VARIABLES, 0.0)
    values |= {"stateEstimate.x": 1.0, "stateEstimate.vz": -2.0, "stateEstimate.qw": 1.0}
    values |= {"gyro.x": 180.0, "gyro.y": -90.0}
    state = state_from_log(tuple(values.values()))
    assert state.position.tolist() == [1.0, 0.0, 0.0]
    assert state.velocity.tolist() == [0.0, 0.0, -2.0]
    assert state.quaternion.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert state.body_rates == pytest.approx([math.pi, -math.pi / 2.0, 0.0])
    assert specific_force_from_log((14, 3.9, 0.0, 0.0, 1.0)).tolist() == [0.0, 0.0, GRAVITY]


def test_the_state_fits_one_block() -> None:
    assert 2 * len(STATE_VARIABLES) <= 26
    assert len(STATUS_VARIABLES) == len(STATUS_TYPES)


@pytest.mark.parametrize(
    "endpoint",
    [
        "radio://0/80/2M/E7E7E7E7E7",
        "radio://0/125/250K",
        "radio://E7E7E7E7E7/0/1M/01",
        "usb://0",
        "udp://127.0.0.1:19850",
        "udp://host.name:1",
    ],
)
def test_addresses_of_cflib_are_taken(endpoint: str) -> None:
    assert check_endpoint(endpoint) == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "radio://0",
        "radio://0/126/2M",
        "radio://0/80/3M",
        "usb://x",
        "udp://127.0.0.1",
        "udp://127.0.0.1:0",
        "udp://127.0.0.1:70000",
        "udp://a b:1",
        "tcp://127.0.0.1:1",
        "/dev/ttyUSB0",
        "radio://0/80/2M/E7E7E7E7E7\n",
    ],
)
def test_other_addresses_are_refused_with_examples(endpoint: str) -> None:
    with pytest.raises(UserError, match="radio://0/80/2M"):
        check_endpoint(endpoint)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (None, "not been heard"),
        (68, "restart"),
        (Supervisor.TUMBLED, "upright"),
        (Supervisor.CRASHED | Supervisor.AUTO_ARMED, "crashed"),
        (Supervisor.DECK_FAULT | Supervisor.ARMED, "deck"),
        (Supervisor.AUTO_ARMED, "checks"),
    ],
)
def test_obstacles_to_arming_are_told_with_their_mend(info: int | None, words: str) -> None:
    assert words in arming_obstacle(info)


@pytest.mark.parametrize("info", [30, 14, 1])
def test_a_vehicle_that_is_ready_has_no_obstacle(info: int) -> None:
    assert arming_obstacle(info) == ""


def test_modes_have_words() -> None:
    told = [mode_in_words(info) for info in (None, 0, 2, 14, 30, 68, 128, 32)]
    assert told == [
        "unknown",
        "disarmed",
        "armed",
        "ready to fly",
        "flying",
        "locked",
        "crashed",
        "tumbled",
    ]
