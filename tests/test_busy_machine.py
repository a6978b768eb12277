"""What keeps the tests sound beside other programs: measured overload, domains of their own."""

from __future__ import annotations

import socket

import pytest

from snn_sim.doubles.crazyflie.udp_vehicle import CrazyflieDouble
from support import real_time
from support.real_time import Load, excused_by_overload
from support.ros_domain import FIRST_PORT, PORTS_A_DOMAIN, is_unused, own_domain


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make up the cores' time: idle and whole, in ticks; whole goes on with every look."""
    times = [0, 0]

    def look() -> tuple[int, int]:
        times[1] += 100
        return times[0], times[1]

    monkeypatch.setattr(real_time, "_core_times", look)
    monkeypatch.setattr(real_time, "LOOK_PERIOD", 0.001)
    return times


def test_a_failure_on_a_busy_machine_says_how_busy_it_was(idle: list[int]) -> None:
    skipped = pytest.raises(
        pytest.skip.Exception, match=r"no core was idle for 100% of .*; then late"
    )
    with skipped, excused_by_overload():
        raise AssertionError("late")


def test_a_vehicle_that_was_late_excuses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Load, "overload", lambda load: "")
    skipped = pytest.raises(pytest.skip.Exception, match=r"the vehicle was 0\.50 s late")
    with skipped, excused_by_overload():
        CrazyflieDouble.latest = 0.5
        raise AssertionError("late")
    CrazyflieDouble.latest = 0.0


def test_a_failure_on_an_idle_machine_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_time, "_core_times", lambda: (50, 100))
    with pytest.raises(AssertionError, match="wrong"), excused_by_overload():
        raise AssertionError("wrong")


def test_a_domain_is_claimed_once_and_only_where_its_ports_are_free() -> None:
    with own_domain() as one, own_domain() as two:
        assert one != two and is_unused(one)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("0.0.0.0", FIRST_PORT + PORTS_A_DOMAIN * one + 10))
            assert not is_unused(one)
        assert is_unused(one)
