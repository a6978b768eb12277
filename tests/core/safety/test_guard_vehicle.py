"""Guards of the vehicle and of the drone on the ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.safety.limits import Limits
from snn_controller.safety.preflight import RestWatch, check_gravity, check_level, check_rest
from snn_controller.safety.vehicle import VehicleGuard
from snn_controller.vehicle.flight_controller import LinkStatus
from snn_controller.vehicle.frames import axis_angle_to_quaternion
from support.states import hovering, sample

SECOND = 1_000_000_000
FINE = LinkStatus()


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
    verdict = VehicleGuard(Limits()).check(status, SECOND)
    assert (verdict.limit if verdict else None) == limit
    assert verdict is None or words in verdict.reason


def test_before_arming_only_link_and_battery_count() -> None:
    guard = VehicleGuard(Limits())
    assert guard.check_arming(LinkStatus(armed=False, in_control=False), SECOND) is None
    verdict = guard.check_arming(LinkStatus(age=1.0), SECOND)
    assert verdict is not None
    assert verdict.limit == "link"


def test_a_battery_may_sag_for_its_window() -> None:
    guard, now = VehicleGuard(Limits(min_battery_voltage=3.2)), 0
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
        verdict = guard.check(LinkStatus(battery=voltage), now)
        assert (verdict.limit if verdict else None) == expected


def test_no_voltage_is_asked_for_by_default() -> None:
    guard = VehicleGuard(Limits())
    assert guard.check(LinkStatus(battery=0.1), 0) is None
    assert guard.check(LinkStatus(battery=0.1), 9 * SECOND) is None


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


def test_rest_counts_from_the_last_disturbance() -> None:
    watch = RestWatch()
    assert not watch.rested(0)
    for number in range(10):
        watch.add(sample(hovering(), number * SECOND // 10))
    assert watch.rested(9 * SECOND // 10)
    watch.add(sample(replace(hovering(), quaternion=turned(30)), SECOND))
    assert not watch.rested(SECOND)
    watch.add(sample(hovering(), SECOND + 1))
    assert not watch.rested(SECOND + 2)
