from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.safety.estimate import EstimateGuard, check_jump, check_odometry
from snn_controller.safety.guards import Limits
from snn_controller.vehicle.frames import axis_angle_to_quaternion, turn_between
from snn_controller.vehicle.state import Odometry
from support.flight_loop import moment_of
from support.states import TICK_NS, hovering, sample

LIMITS = Limits()
SECOND = 1_000_000_000


def test_good_odometry_passes() -> None:
    assert check_odometry(sample(hovering(), SECOND), SECOND, LIMITS) is None


@pytest.mark.parametrize("field", ["position", "quaternion", "velocity", "body_rates"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(field: str, bad: float) -> None:
    state = hovering()
    values = getattr(state, field).copy()
    values[1] = bad
    broken = sample(replace(state, **{field: values}), SECOND)
    verdict = check_odometry(broken, SECOND, LIMITS)
    assert verdict is not None
    assert verdict.limit == "finite"


@pytest.mark.parametrize(("frame", "child"), [("map_ned", "base_link"), ("odom", "base_frd")])
def test_a_wrong_frame_is_named(frame: str, child: str) -> None:
    verdict = check_odometry(sample(hovering(), SECOND, frame, child), SECOND, LIMITS)
    assert verdict is not None
    assert verdict.limit == "frame"
    assert f"'{frame}'/'{child}'" in verdict.reason


def test_a_zero_quaternion_is_refused() -> None:
    broken = replace(hovering(), quaternion=np.zeros(4))
    verdict = check_odometry(sample(broken, SECOND), SECOND, LIMITS)
    assert verdict is not None
    assert verdict.limit == "attitude"


@given(st.integers(0, 10 * SECOND))
def test_age_alone_decides_staleness(age: int) -> None:
    verdict = check_odometry(sample(hovering(), SECOND), SECOND + age, LIMITS)
    assert (verdict is not None) == (age * 1e-9 > LIMITS.odometry_timeout)


@given(st.integers(0, 10 * SECOND))
def test_a_stamp_ahead_of_the_clock_is_refused_like_an_old_one(ahead: int) -> None:
    verdict = check_odometry(sample(hovering(), SECOND + ahead), SECOND, LIMITS)
    assert (verdict is not None) == (ahead * 1e-9 > LIMITS.odometry_timeout)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("position", LIMITS.max_position_deviation),
        ("velocity", LIMITS.max_velocity_deviation),
        ("attitude", np.deg2rad(LIMITS.max_attitude_deviation_deg)),
    ],
)
def test_an_estimator_that_doubts_itself_is_not_flown_on(name: str, limit: float) -> None:
    def judged(value: float) -> str | None:
        doubtful = replace(sample(hovering(), SECOND), **{f"{name}_deviation": value})
        verdict = check_odometry(doubtful, SECOND, LIMITS)
        return None if verdict is None else f"{verdict.limit}: {verdict.reason}"

    assert judged(0.0) is None  # nothing stated
    assert judged(0.99 * limit) is None
    for value in (1.01 * limit, np.inf, np.nan):
        assert str(judged(value)).startswith(f"deviation: the odometry's {name}")


@pytest.mark.parametrize(
    ("changes", "limits", "words"),
    [
        (
            {"position_deviation": 0.3000004},
            {},
            "position has a standard deviation of 0.3000004 m, more than max_position_deviation"
            " allows, 0.3 m; check the estimator",
        ),
        ({"velocity_deviation": 1.25}, {}, "of 1.25 m/s, more than max_velocity_deviation allows"),
        (
            {"attitude_deviation": np.deg2rad(17.2)},
            {},
            "of 17.2 degrees, more than max_attitude_deviation_deg allows, 15 degrees",
        ),
        (
            {"position_deviation": 1e-9},
            {"max_position_deviation": 0.0},
            "of 1e-09 m, more than max_position_deviation allows, 0 m",
        ),
        (
            {"velocity_deviation": np.nextafter(1.0, 2.0)},
            {},
            "of 1.0000000000000002 m/s, more than max_velocity_deviation allows, 1 m/s",
        ),
        ({"position_deviation": np.inf}, {}, "variance below zero or infinite: there is no estim"),
        ({"velocity_deviation": np.nan}, {}, "velocity has a standard deviation that is not a num"),
    ],
)
def test_doubt_is_told_with_both_numbers_and_its_parameter(changes, limits, words) -> None:
    doubtful = replace(sample(hovering(), SECOND), **changes)
    verdict = check_odometry(doubtful, SECOND, Limits(**limits))
    assert verdict is not None
    assert words in verdict.reason


def after(before: Odometry, seconds: float = 0.01, **changes: np.ndarray) -> Odometry:
    return sample(replace(before.state, **changes), before.stamp + round(seconds * SECOND))


@given(st.floats(0.0, 5.0), st.floats(0.001, 0.4))
def test_what_the_velocity_explains_is_no_jump(speed: float, seconds: float) -> None:
    velocity = np.array([speed, 0.0, 0.0])
    before = sample(replace(hovering(), velocity=velocity), SECOND)
    moved = after(before, seconds, position=before.state.position + velocity * seconds)
    assert check_jump(before, moved, LIMITS) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position": np.array([0.4, 0.0, 1.0])}, "position jumped by 0.40 m"),
        ({"velocity": np.array([0.0, 3.0, 0.0])}, "velocity jumped by 2.6 m/s"),
        ({"quaternion": axis_angle_to_quaternion([1, 0, 0], 1.0)}, "attitude jumped by 57"),
    ],
)
def test_a_jump_says_what_jumped(changes: dict, words: str) -> None:
    before = sample(hovering(), SECOND)
    verdict = check_jump(before, after(before, **changes), LIMITS)
    assert verdict is not None
    assert verdict.limit == "jump"
    assert words in verdict.reason
    assert check_jump(before, after(before, 0.6, **changes), LIMITS) is None  # after a gap


def test_a_turn_that_the_body_rates_explain_is_no_jump() -> None:
    rates = np.array([0.0, 0.0, 20.0])
    before = sample(replace(hovering(), body_rates=rates), SECOND)
    turned = after(before, 0.05, quaternion=axis_angle_to_quaternion([0, 0, 1], 1.0))
    assert check_jump(before, turned, LIMITS) is None


@pytest.mark.parametrize(("turn", "limit"), [(0.02, "units"), (0.3, None)])
def test_body_rates_beyond_the_limit_must_be_seen_in_the_attitude(
    turn: float, limit: str | None
) -> None:
    before = sample(hovering(), SECOND)
    spinning = after(
        before,
        body_rates=np.array([0.0, 0.0, 30.0]),
        quaternion=axis_angle_to_quaternion([0, 0, 1], turn),
    )
    verdict = check_jump(before, spinning, LIMITS)
    assert (verdict.limit if verdict else None) == limit


@given(st.floats(0.0, np.pi), st.floats(0.97, 1.03))
def test_the_angle_between_attitudes(angle: float, length: float) -> None:
    turned = axis_angle_to_quaternion([0.0, 0.6, 0.8], angle)
    assert turn_between(np.array([0, 0, 0, 1.0]), length * turned) == pytest.approx(angle, abs=1e-6)
    assert turn_between(turned, -turned) == pytest.approx(0.0, abs=1e-6)


def judge(guard: EstimateGuard, odometry: Odometry) -> str | None:
    verdict = guard.check(moment_of(odometry))
    return verdict.limit if verdict else None


def test_one_glitch_is_forgotten_and_a_new_place_is_accepted_on_the_third_sample() -> None:
    guard = EstimateGuard(LIMITS, 100.0)

    def at(x: float, number: int) -> str | None:
        return judge(guard, sample(hovering((x, 0.0, 1.0)), SECOND + number * TICK_NS))

    assert [at(x, n) for n, x in enumerate([0.0, 0.0, 5.0, 0.0])] == [None, None, "jump", None]
    assert [at(5.0, n) for n in range(4, 8)] == ["jump", "jump", None, None]
