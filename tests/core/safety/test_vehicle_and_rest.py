"""Guards of the vehicle and of the drone on the ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.safety.guard import Moment
from snn_controller.safety.guards import Limits
from snn_controller.safety.rest import RestGuard, check_gravity, check_level, check_rest
from snn_controller.safety.state_machine import Mode
from snn_controller.safety.vehicle import VehicleGuard
from snn_controller.vehicle.flight_controller import LinkStatus
from snn_controller.vehicle.frames import axis_angle_to_quaternion
from support.states import hovering, sample

SECOND = 1_000_000_000
FINE = LinkStatus()


def heard(status: LinkStatus, now: int = SECOND, mode: Mode = Mode.POLICY) -> Moment:
    return Moment(mode, now, status=status)


@pytest.mark.parametrize(
    ("status", "limit", "words"),
    [
        (FINE, None, ""),
        (LinkStatus(age=0.29), None, ""),
        (LinkStatus(age=0.31), "link", "310 ms"),
        (LinkStatus(armed=False), "mode", "disarmed itself"),
        (LinkStatus(armed=False, mode="LAND", refusal="crash"), "mode", "(mode LAND): crash"),
        (LinkStatus(in_control=False, mode="POSCTL"), "mode", "obeys this controller (mode POSCTL"),
    ],
)
def test_an_armed_vehicle(status: LinkStatus, limit: str | None, words: str) -> None:
    verdict = VehicleGuard(Limits(), 100.0).check(heard(status))
    assert (verdict.limit if verdict else None) == limit
    assert verdict is None or words in verdict.reason


def test_before_arming_only_link_and_battery_count() -> None:
    guard = VehicleGuard(Limits(), 100.0)
    unarmed = LinkStatus(armed=False, in_control=False)
    assert guard.check(heard(unarmed, mode=Mode.ARMING)) is None
    assert guard.check(heard(LinkStatus(age=1.0), mode=Mode.DISARMED)) is None
    verdict = guard.check(heard(LinkStatus(age=1.0), mode=Mode.CHECKS))
    assert verdict is not None
    assert verdict.limit == "link"


def test_a_battery_may_sag_for_its_window() -> None:
    guard, now = VehicleGuard(Limits(min_battery_voltage=3.2), 100.0), 0
    for voltage, seconds, expected in (
        (3.1, 0.0, None),
        (3.1, 0.9, None),
        (3.3, 0.05, None),  # back in time
        (3.1, 0.1, None),
        (None, 0.5, None),  # unknown
        (3.1, 0.1, None),
        (3.0, 1.0, "battery"),
    ):
        now += round(seconds * SECOND)
        verdict = guard.check(heard(LinkStatus(battery=voltage), now))
        assert (verdict.limit if verdict else None) == expected


def test_no_voltage_is_asked_for_by_default() -> None:
    guard = VehicleGuard(Limits(), 100.0)
    for now in (0, 9 * SECOND):
        assert guard.check(heard(LinkStatus(battery=0.1), now)) is None


def turned(degrees: float) -> np.ndarray:
    return axis_angle_to_quaternion([1.0, 0.0, 0.0], np.deg2rad(degrees))


@pytest.mark.parametrize(
    ("degrees", "limit"), [(0, None), (14, None), (16, "rest"), (100, "rest"), (180, "gravity")]
)
def test_level(degrees: float, limit: str | None) -> None:
    verdict = check_level(replace(hovering(), quaternion=turned(degrees)))
    assert (verdict.limit if verdict else None) == limit


def test_a_quaternion_in_another_order_stands_on_its_head() -> None:
    verdict = check_level(replace(hovering(), quaternion=np.array([1.0, 0.0, 0.0, 0.0])))
    assert verdict is not None
    assert "order x, y, z, w" in verdict.reason


@pytest.mark.parametrize(
    ("force", "words"),
    [
        ((0.0, 0.0, 9.6), None),
        ((1.0, -1.0, 9.9), None),
        ((0.0, 0.0, -9.81), "FRD or NED"),
        ((9.81, 0.0, 0.0), "axes"),
        ((0.0, 0.0, 1.0), "unit"),
    ],
)
def test_gravity_at_rest(force: tuple[float, float, float], words: str | None) -> None:
    verdict = check_gravity(replace(sample(hovering(), 0), specific_force=np.array(force)))
    assert verdict is None if words is None else words in verdict.reason
    assert check_gravity(sample(hovering(), 0)) is None


def test_motion_at_rest() -> None:
    assert check_rest(hovering()) is None
    assert "0.20 m/s" in check_rest(replace(hovering(), velocity=np.array([0, 0.2, 0]))).reason
    verdict = check_rest(replace(hovering(), body_rates=np.array([0.3, 0.0, 0.0])))
    assert "rad/s" in verdict.reason


def test_what_speaks_against_arming_is_said_of_each_sample_anew() -> None:
    guard = RestGuard(Limits(), 100.0)
    tilted = replace(hovering(), quaternion=turned(30))
    for state, limit in ((hovering(), None), (tilted, "rest"), (hovering(), None)):
        verdict = guard.check(Moment(sample=sample(state, 0)))
        assert (verdict.limit if verdict else None) == limit
