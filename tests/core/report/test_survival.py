"""Every way in which a flight can fail, and the ways in which it does not."""

from __future__ import annotations

import numpy as np
import pytest

from snn_controller.flight_log.log import FlightLog, columns
from snn_controller.report.survival import FlightBounds, find_failure
from snn_controller.vehicle.frames import axis_angle_to_quaternion
from support.synthetic_flight import edit, make_flight

BOUNDS = FlightBounds(duration=4.0)
LANDING = FlightBounds(duration=4.0, lands=True)


def failure(log: FlightLog, bounds: FlightBounds = BOUNDS) -> str | None:
    return find_failure(columns(log), bounds)


def end_with(
    log: FlightLog, mode: str, *, height: float, ticks: int = 20, verdict: str = ""
) -> None:
    """Append ticks of a mode after the policy's, so that its time stays as it was."""
    for _ in range(20):
        log.append(log.ticks[-1])
        position = np.array([0.0, 0.0, height])
        edit(log, -1, time=log.ticks[-1].time + 0.01, mode=mode, position=position)


def test_whole_flight_survives() -> None:
    assert failure(make_flight()) is None


def test_empty_log_fails_for_want_of_odometry() -> None:
    assert "no odometry" in str(failure(FlightLog()))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_leaving_the_fence_names_axis_and_time(axis: int, side: float) -> None:
    log = make_flight()
    position = np.array([0.0, 0.0, 1.0])
    position[axis] = 9.0 * side
    edit(log, 123, position=position)
    assert f"geofence at 1.23 s ({'xyz'[axis]} = {9.0 * side:.2f} m)" in str(failure(log))


def test_ground_contact_under_the_policy_fails() -> None:
    log = make_flight()
    edit(log, 50, position=np.array([0.0, 0.0, 0.01]))
    assert "touched the ground at 0.50 s" in str(failure(log))


@pytest.mark.parametrize(("degrees", "fails"), [(119.0, False), (121.0, True), (180.0, True)])
def test_tilt_limit(degrees: float, fails: bool) -> None:
    log = make_flight()
    edit(log, 10, quaternion=axis_angle_to_quaternion([1.0, 0.0, 0.0], np.deg2rad(degrees)))
    assert (f"tilted by {degrees:.0f} degrees" in str(failure(log))) is fails


@pytest.mark.parametrize("mode", ["fallback", "descent", "killed", "pilot"])
def test_relief_fails_with_its_verdict_even_if_the_policy_returns(mode: str) -> None:
    log = make_flight()
    for row in range(100, 120):
        edit(log, row, mode=mode, verdict="odometry is stale")
    text = str(failure(log))
    assert "relieved at 1.00 s" in text
    assert mode in text
    assert "odometry is stale" in text


def test_the_earliest_breach_is_reported() -> None:
    log = make_flight()
    edit(log, 200, position=np.array([0.0, 0.0, 0.01]))
    edit(log, 201, mode="fallback", verdict="late")
    edit(log, 150, quaternion=axis_angle_to_quaternion([1.0, 0.0, 0.0], 3.0))
    assert "tilted" in str(failure(log))


def test_policy_that_never_flew_is_said_with_the_reason() -> None:
    log = make_flight()
    for row in range(len(log.ticks)):
        edit(log, row, mode="checks", verdict="wrong frame")
    assert failure(log) == "the policy never took control: wrong frame"


def test_short_flight_fails_and_start_up_is_forgiven() -> None:
    assert "flew 4.00 s of the 9.00 s" in str(failure(make_flight(), FlightBounds(duration=9.0)))
    assert failure(make_flight(), FlightBounds(duration=4.15)) is None


def test_landing_task_ends_on_the_ground() -> None:
    for mode in ("land", "disarmed"):
        log = make_flight()
        end_with(log, "land", height=0.5)
        end_with(log, mode, height=0.01)
        assert failure(log, LANDING) is None


def test_landing_task_that_hovers_or_stops_in_the_air_fails() -> None:
    assert failure(make_flight(), LANDING) == "did not land at the end"
    log = make_flight()
    end_with(log, "land", height=0.8)
    assert "at a height of 0.80 m" in str(failure(log, LANDING))


def test_landing_that_nobody_asked_for_fails() -> None:
    log = make_flight()
    end_with(log, "land", height=0.01)
    assert failure(log) == "was not airborne at the end"
    end_with(log, "disarmed", height=0.01)
    assert "relieved" in str(failure(log))


def test_rest_on_the_ground_is_judged_by_neither_fence_nor_tilt() -> None:
    log = make_flight()
    end_with(log, "land", height=0.5)
    end_with(log, "disarmed", height=-2.0)
    edit(log, -1, quaternion=np.array([1.0, 0.0, 0.0, 0.0]))
    assert failure(log, LANDING) is None


def test_odometry_without_numbers_is_no_breach_until_the_end() -> None:
    log = make_flight()
    edit(log, 30, position=np.full(3, np.nan), quaternion=np.zeros(4))
    assert failure(log) is None
    edit(log, -1, position=np.full(3, np.nan))
    assert failure(log) == "the last odometry was not finite"


def test_infinite_position_is_outside() -> None:
    log = make_flight()
    edit(log, 30, position=np.array([0.0, np.inf, 1.0]))
    assert "y = inf" in str(failure(log))


def test_take_off_is_no_time_flown_by_the_policy() -> None:
    log = make_flight()
    for row in range(150):
        edit(log, row, mode="takeoff")
    assert failure(log) == "the policy flew 2.50 s of the 4.00 s asked for"
    assert failure(log, FlightBounds(duration=2.5)) is None


def test_a_log_that_has_lost_its_beginning_still_counts_it() -> None:
    log = make_flight()
    del log.ticks[:150]
    assert failure(log) is None
