from __future__ import annotations

import pytest

pytest.importorskip("pymavlink")

from hypothesis import given
from hypothesis import strategies as st

from snn_controller.flight_controllers.shared.estimate import VehicleClock
from support.mavlink_samples import SECOND


@given(
    offset=st.integers(-(10**18), 10**18),
    delays=st.lists(st.integers(0, 50_000_000), min_size=8, max_size=8),
)
def test_round_trips_give_the_vehicles_time_within_half_the_quickest(
    offset: int, delays: list[int]
) -> None:
    clock, now, least = VehicleClock(), 2 * 10**18, 10**18
    for there, back in zip(delays[::2], delays[1::2], strict=True):
        asked = clock.ask(now)
        clock.answer(now + there + offset, asked, now + there + back)
        least = min(least, there + back)
        now += SECOND
    stamp = now - 30_000_000  # ours, of a sample that is 30 ms old
    if stamp + offset > 0:
        assert abs(clock.to_node(stamp + offset, now) - min(stamp, now)) <= least // 2 + 1


def test_without_answers_the_least_late_stamp_counts_and_none_is_ahead() -> None:
    clock = VehicleClock()
    times = [clock.to_node(n * SECOND, 10**18 + n * SECOND + late) for n, late in [(1, 9), (2, 4)]]
    assert times == [10**18 + SECOND + 9, 10**18 + 2 * SECOND + 4]
    assert clock.to_node(3 * SECOND, 10**18 + 3 * SECOND + 20) == 10**18 + 3 * SECOND + 4
    # a vehicle that has started anew is followed at once
    assert clock.to_node(5, 10**18 + 9 * SECOND) == 10**18 + 9 * SECOND


def test_answers_to_others_do_not_move_the_clock() -> None:
    clock = VehicleClock()
    clock.ask(1000)
    clock.answer(77, 999, 2000)
    clock.answer(0, 1000, 2000)
    assert clock.to_node(1500, 5000) == 5000  # nothing is known but this stamp
