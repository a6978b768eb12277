from __future__ import annotations

import numpy as np
import pytest

from snn_controller.flight_controllers.crazyflie.radio import CrazyflieClock

MS = 1_000_000  # ns


@pytest.mark.parametrize("start", [0, 1_000, (1 << 24) - 1_500])
def test_stamps_are_even_however_unevenly_packets_come(start: int) -> None:
    delays = np.random.default_rng(start).integers(0, 9 * MS, 400)
    delays[10::50] = 0  # now and then a packet comes at once
    clock = CrazyflieClock()
    stamps = []
    for i, delay in enumerate(delays.tolist()):
        arrival = 10 * i * MS + delay
        stamp = clock.stamp((start + 10 * i) % (1 << 24), arrival)
        assert stamp is not None
        assert stamp <= arrival
        stamps.append(stamp)
    steps = np.diff(stamps[10:])
    assert np.abs(steps - 10 * MS).max() <= 1  # ns


def test_a_sample_that_was_held_up_shows_its_age() -> None:
    clock = CrazyflieClock()
    for i in range(200):
        clock.stamp(10 * i, 10 * i * MS)
    late = clock.stamp(2000, 2300 * MS)  # 0.3 s on its way
    assert late == 2000 * MS


def test_clocks_that_part_are_followed_within_two_seconds() -> None:
    clock = CrazyflieClock()
    for i in range(500):
        away = 0 if i < 200 else 400 * MS
        stamp = clock.stamp(10 * i, 10 * i * MS + away)
    assert stamp == 4990 * MS + 400 * MS


def test_repeated_and_overtaken_packets_have_no_stamp() -> None:
    clock = CrazyflieClock()
    assert clock.stamp(100, 0) is not None
    assert clock.stamp(120, 20 * MS) is not None
    assert clock.stamp(120, 21 * MS) is None
    assert clock.stamp(110, 22 * MS) is None
    assert clock.stamp(130, 30 * MS) is not None


def test_damaged_times_are_dropped_and_a_restart_is_followed() -> None:
    clock = CrazyflieClock()
    for i in range(10):
        clock.stamp(10_000 + 10 * i, 10 * i * MS)
    assert clock.stamp(10_000 + 4_000_000, 100 * MS) is None  # bits turned
    assert clock.stamp(110, 105 * MS) is None
    assert clock.stamp(10_110, 110 * MS) is not None
    assert [clock.stamp(10 * i, (200 + 10 * i) * MS) is None for i in range(4)] == [
        True,
        True,
        False,
        False,
    ]
