from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from snn_controller.flight import link_driver
from snn_controller.flight.link_driver import LinkDriver
from snn_controller.safety.state_machine import Mode
from snn_controller.vehicle.flight_controller import LinkStatus


def flight(mode: Mode, *, done: bool = True, armed: bool = True) -> SimpleNamespace:
    return SimpleNamespace(mode=mode, done=done, status=LinkStatus(armed=armed))


def flown() -> LinkDriver:
    driver = LinkDriver(Mock())
    for mode in (Mode.CHECKS, Mode.ARMING, Mode.ARMED, Mode.TAKEOFF, Mode.DISARMED):
        driver.follow(mode)
    return driver


def test_a_flight_ends_when_its_vehicle_has_disarmed_or_had_time_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = 100.0
    monkeypatch.setattr(link_driver, "monotonic", lambda: time)
    driver = flown()
    assert not driver.has_ended(flight(Mode.LAND, done=False))
    assert not driver.has_ended(flight(Mode.DISARMED))
    time += link_driver.DISARM_TIME - 0.1
    assert not driver.has_ended(flight(Mode.DISARMED))
    assert driver.has_ended(flight(Mode.DISARMED, armed=False))
    time += 0.2
    assert driver.has_ended(flight(Mode.DISARMED))


def test_nobody_waits_for_a_pilot_or_for_what_was_never_armed() -> None:
    assert flown().has_ended(flight(Mode.PILOT))
    assert flown().has_ended(flight(Mode.POLICY))  # an airborne task, over in the air
    assert LinkDriver(Mock()).has_ended(flight(Mode.DISARMED))


def test_odometry_of_any_poll_is_taken_once() -> None:
    link = Mock()
    driver, odometry = LinkDriver(link), Mock()
    link.poll.side_effect = [LinkStatus(odometry=odometry), LinkStatus()]
    subject = flight(Mode.POLICY)
    driver.poll(subject, 1)
    driver.poll(subject, 2)
    assert driver.take_odometry() is odometry
    assert driver.take_odometry() is None


def told(link: Mock) -> list[str]:
    """Return the calls that a link has got, in order."""
    return [call[0] for call in link.method_calls]


def test_a_link_is_asked_once_for_each_state() -> None:
    link = Mock()
    driver = LinkDriver(link)
    for mode in (
        *(Mode.DISARMED, Mode.CHECKS, Mode.ARMING, Mode.ARMING, Mode.ARMED, Mode.POLICY),
        *(Mode.LAND, Mode.DISARMED, Mode.DISARMED, Mode.KILLED, Mode.KILLED),
    ):
        driver.follow(mode)
    driver.close()
    assert told(link) == ["arm", "disarm", "kill", "close"]


def test_a_pilots_drone_is_handed_back_and_sent_nothing() -> None:
    link = Mock()
    driver = LinkDriver(link)
    driver.answer(flight(Mode.PILOT), None, 1)
    driver.close()  # the pilot's motors go on
    assert told(link) == ["hand_back"]
