"""The guard that finds wrong units and axes in how a drone moves, in the hand and in flight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snn_controller.safety.estimate import EstimateGuard, MotionFit, SlopeFit
from snn_controller.safety.guard import Verdict
from snn_controller.safety.guards import Limits
from snn_controller.vehicle.frames import GRAVITY, axis_angle_to_quaternion
from snn_controller.vehicle.state import Odometry, State
from support.flight_loop import Loop, moment_of
from support.states import TICK_NS, hovering, sample

Change = Callable[[State], State]


def carried(time: float, axis: np.ndarray) -> State:
    """Return a state that a hand moves and turns about an axis, to and fro."""
    swing, rate = 0.8 * np.sin(3.0 * time), 2.4 * np.cos(3.0 * time)
    quaternion = axis_angle_to_quaternion(axis, swing)
    return State(swing * axis, quaternion, rate * axis, rate * axis)


def judge(change: Change, axis: int, *, seconds: float = 2.0, noise: float = 0.0) -> Verdict | None:
    guard, rng = MotionFit(), np.random.default_rng(4)
    before: Odometry | None = None
    unit = np.eye(3)[axis]
    for number in range(round(seconds * 100)):
        state = carried(number * 0.01, unit)
        noisy = replace(state, position=state.position + rng.normal(0.0, noise, 3))
        odometry = sample(change(noisy), number * TICK_NS)
        if before is not None:
            guard.compare(before, odometry, None)
        before = odometry
        verdict = guard.check()
        if verdict is not None:
            return verdict
    return None


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("noise", [0.0, 0.002, 0.05])
def test_odometry_that_fits_is_left_alone(axis: int, noise: float) -> None:
    assert judge(lambda state: state, axis, noise=noise) is None


def flipped(name: str, axis: int) -> Change:
    sign = np.ones(3)
    sign[axis] = -1.0
    return lambda state: replace(state, **{name: sign * getattr(state, name)})


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: lambda s: replace(s, body_rates=np.rad2deg(s.body_rates)), "deg/s"),
        (lambda axis: flipped("body_rates", axis), "points the other way"),
        (lambda _: lambda s: replace(s, body_rates=0.2 * s.body_rates), "check the gyro"),
        (lambda _: lambda s: replace(s, body_rates=np.zeros(3)), "check the gyro"),
        (lambda axis: flipped("velocity", axis), "-1 times as fast along"),
        (lambda _: lambda s: replace(s, velocity=3.6 * s.velocity), "0.28 times as fast"),
    ],
)
def test_wrong_units_and_axes_are_named(
    axis: int, make: Callable[[int], Change], words: str
) -> None:
    verdict = judge(make(axis), axis)
    assert verdict is not None
    assert verdict.limit == "units"
    assert words in verdict.reason
    assert "xyz"[axis] in verdict.reason


def test_wrong_units_are_found_within_a_fifth_of_a_second_of_turning() -> None:
    in_degrees = lambda s: replace(s, body_rates=np.rad2deg(s.body_rates))  # noqa: E731
    assert judge(in_degrees, 0, seconds=0.2) is not None


def test_samples_far_apart_or_of_one_time_say_nothing() -> None:
    guard = MotionFit()
    first = sample(hovering(), 0)
    for stamp in (0, 200_000_000):
        odd = sample(replace(hovering(), body_rates=np.full(3, 50.0)), stamp)
        for _ in range(20):
            guard.compare(first, odd, 0.0)
    assert guard.check() is None


def test_one_spike_is_no_evidence() -> None:
    fit = SlopeFit()
    for number in range(50):
        fit.add(1.0 if number == 20 else 0.0, 0.0, 0.98)
    assert fit.slope(1e-3) is None


@pytest.mark.parametrize(("sign", "limit"), [(1.0, None), (-1.0, "gravity")])
def test_lift_must_lift(sign: float, limit: str | None) -> None:
    guard, verdict = EstimateGuard(Limits(), 100.0), None
    for number in range(40):
        time = number * 0.01
        velocity = np.array([0.0, 0.0, sign * 2.0 * time])
        state = State(
            np.array([0.0, 0.0, sign * time**2]), np.array([0, 0, 0, 1.0]), velocity, np.zeros(3)
        )
        odometry = sample(state, number * TICK_NS)
        verdict = verdict or guard.check(moment_of(odometry, thrust=GRAVITY + 2.0))
    assert (verdict.limit if verdict else None) == limit


def test_a_drone_held_on_the_ground_is_no_contradiction() -> None:
    guard = EstimateGuard(Limits(), 100.0)
    for number in range(100):
        odometry = sample(hovering((0.0, 0.0, 0.01)), number * TICK_NS)
        for thrust in (0.5 * GRAVITY, None):
            assert guard.check(moment_of(odometry, thrust=thrust)) is None


@pytest.mark.parametrize("task", ["figure8_fast", "square"])
@pytest.mark.parametrize("push", [0.0, 0.06])
def test_real_flights_fit_under_wind_too(loop: Callable[..., Loop], task: str, push: float) -> None:
    flown = loop(task, duration=6.0)
    rng = np.random.default_rng(3)
    for _ in range(12):
        flown.run(0.5, force=push * rng.normal(size=3))
    assert flown.flight.verdict is None
