"""The guard that finds an estimator which repeats itself, and leaves alone what only stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snn_controller.control.trajectories import find_task
from snn_controller.flight.backup import BackupController
from snn_controller.flight.flight import Flight
from snn_controller.flight.plan import FlightPlan
from snn_controller.policy.runtime import Policy
from snn_controller.safety.estimate import SURE_LIFT, EstimateGuard, FreezeWatch
from snn_controller.safety.guard import Verdict
from snn_controller.safety.guards import Limits
from snn_controller.safety.state_machine import Mode
from snn_controller.vehicle.airframe import Quadrotor, load_quadrotor
from snn_controller.vehicle.frames import GRAVITY
from snn_controller.vehicle.state import Odometry, Reference, State
from snn_sim.bullet.drone import Drone
from snn_sim.task.episode import sample_start
from support.flight_loop import Loop, moment_of
from support.states import TICK_NS, hovering, sample

LIMITS = Limits()
MOVING = replace(hovering(), velocity=np.array([0.01, 0.0, 0.0]), body_rates=np.full(3, 0.01))


def watched(states: Callable[[int], State], seconds: float = 1.0) -> tuple[float, Verdict] | None:
    """Return after how many s a watch has found something, and what."""
    watch = FreezeWatch(LIMITS)
    for number in range(round(seconds * 100)):
        verdict = watch.check(sample(states(number), number * TICK_NS))
        if verdict is not None:
            return number * 0.01, verdict
    return None


def test_a_state_that_is_repeated_is_found_after_its_time() -> None:
    found = watched(lambda _: MOVING)
    assert found is not None
    assert found[0] == pytest.approx(LIMITS.frozen_time)
    assert found[1].limit == "frozen"
    assert "the same state to the last bit for 200 ms" in found[1].reason


@pytest.mark.parametrize("field", ["position", "velocity", "quaternion", "body_rates"])
def test_one_bit_that_moves_is_enough(field: str) -> None:
    def drifting(number: int) -> State:
        values = getattr(MOVING, field).copy()
        values[0] = np.nextafter(values[0], 1.0) if number % 2 else values[0]
        return replace(MOVING, **{field: values})

    assert watched(drifting) is None


@pytest.mark.parametrize(("rate", "after"), [(0.1, None), (0.6, 0.2), (0.15, 0.35)])
def test_a_place_that_is_repeated_while_the_rates_go_on_is_found(
    rate: float, after: float | None
) -> None:
    """A tracker is lost, the gyro lives."""

    def turning(number: int) -> State:
        return replace(MOVING, body_rates=np.array([rate + number * 1e-6, 0.0, 0.0]))

    found = watched(turning, 0.45)
    assert (found is None) == (after is None)
    if found is not None:
        assert found[0] == pytest.approx(after, abs=0.011)
        assert "while the body rates go on" in found[1].reason


def test_turning_about_the_vertical_moves_nothing() -> None:
    def yawing(number: int) -> State:
        return replace(MOVING, body_rates=np.array([0.0, 0.0, 2.0 + number * 1e-6]))

    assert watched(yawing) is None


@pytest.mark.parametrize("rate", [20, 30, 50, 100])
def test_estimators_that_are_slower_than_the_topic_are_left_alone(rate: int) -> None:
    def held(number: int) -> State:
        steps = number * rate // 100
        return replace(MOVING, position=np.array([0.01 * steps, 0.0, 1.0]))

    assert watched(held, 3.0) is None


def judge(guard: EstimateGuard, number: int, *, thrust: float | None, airborne: bool) -> bool:
    """Whether a drone that seems to stand still is found."""
    odometry = sample(hovering((0.0, 0.0, 0.01)), number * TICK_NS)
    verdict = guard.check(moment_of(odometry, thrust=thrust, airborne=airborne))
    return verdict is not None and verdict.limit == "frozen"


@pytest.mark.parametrize(
    ("thrust", "airborne", "found"),
    [
        (None, False, False),
        (GRAVITY + 0.9 * SURE_LIFT, False, False),
        (GRAVITY + 1.1 * SURE_LIFT, False, True),
        (None, True, True),
    ],
)
def test_only_what_must_move_is_asked_to(thrust: float | None, airborne: bool, found: bool) -> None:
    guard = EstimateGuard(LIMITS, 100.0)
    assert any(judge(guard, n, thrust=thrust, airborne=airborne) for n in range(30)) == found


def test_standing_before_the_take_off_does_not_count() -> None:
    guard = EstimateGuard(LIMITS, 100.0)
    for number in range(100):
        assert not judge(guard, number, thrust=None, airborne=False)
    for number in range(100, 120):
        assert not judge(guard, number, thrust=2.0 * GRAVITY, airborne=False)
    assert judge(guard, 120, thrust=2.0 * GRAVITY, airborne=False)


@pytest.mark.parametrize("speed", [0.0, 1.0])
def test_a_frozen_state_says_nothing_of_units(speed: float) -> None:
    """Rates and velocity that were right when the estimator froze are not wrong afterwards."""
    guard, names = EstimateGuard(LIMITS, 100.0), set()
    turning = replace(hovering(), velocity=np.full(3, speed), body_rates=np.full(3, 3.0))
    for number in range(60):
        odometry = sample(turning, number * TICK_NS)
        verdict = guard.check(moment_of(odometry, airborne=True))
        names |= {verdict.limit} if verdict else set()
    assert names == {"frozen"}


@pytest.mark.parametrize("rate", [25, 50, 100])
def test_the_units_of_a_slower_estimator_are_judged_from_one_estimate_to_the_next(
    rate: int,
) -> None:
    for scale, limit in ((1.0, None), (-1.0, "units")):
        guard, last = EstimateGuard(LIMITS, 100.0), None
        for number in range(300):
            time = (number * rate // 100) / rate
            swing, speed = 0.3 * np.sin(3.0 * time), 0.9 * np.cos(3.0 * time)
            state = replace(
                hovering((swing, 0.0, 1.0)), velocity=np.array([scale * speed, 0.0, 0.0])
            )
            odometry = sample(state, number * TICK_NS)
            last = guard.check(moment_of(odometry, airborne=True)) or last
        assert (last.limit if last else None) == limit


def test_a_flight_goes_on_when_the_estimator_does(loop: Callable[..., Loop]) -> None:
    flown = loop(duration=20.0)
    flown.run(1.0)
    held = sample(flown.drone.state, 0)

    def frozen(odometry: Odometry) -> Odometry:
        return replace(odometry, state=held.state)

    flown.run(0.2, frozen)
    assert flown.flight.mode is Mode.POLICY
    flown.run(0.04, frozen)
    assert flown.flight.mode is Mode.DESCENT
    assert flown.limit == "frozen"
    flown.run(0.1)
    assert flown.flight.mode is Mode.FALLBACK
    flown.run(10.0)
    assert flown.has_landed()


def test_frozen_on_the_ground_the_take_off_is_broken_off(loop: Callable[..., Loop]) -> None:
    flown = loop("takeoff_land", duration=5.0)
    held = flown.drone.state
    flown.run(5.0, lambda odometry: replace(odometry, state=held))
    assert flown.flight.mode is Mode.KILLED
    assert flown.limit == "frozen"
    assert flown.drone.state.position[2] < 0.2


def test_a_drone_on_a_table_may_stand_still(policy: Policy, quadrotor: Quadrotor) -> None:
    plan = FlightPlan(find_task("takeoff_land"), 5.0, auto_start=False)
    flight = Flight(policy, quadrotor, plan, LIMITS)
    for number in range(100):
        flight.tick(sample(hovering((0.0, 0.0, 0.7)), number * TICK_NS), number * TICK_NS)
    assert flight.mode is Mode.DISARMED
    assert flight.verdict is None


@pytest.mark.slow
@pytest.mark.parametrize("precision", [np.float64, np.float32])
@pytest.mark.parametrize("airframe", ["crazyflie21", "x500"])
def test_the_stillest_hover_of_the_simulator_is_no_freeze(airframe: str, precision: type) -> None:
    """The guide for a minute, without noise, from the hover point itself; 2 s each."""
    quadrotor = load_quadrotor(airframe)
    drone, backup, point = (
        Drone(quadrotor),
        BackupController(quadrotor, "motors", 0.01),
        [0.0, 0.0, 1.0],
    )
    backup.reset(rotors_turning=True)
    rng = np.random.default_rng(2)
    drone.reset(*sample_start("hover", rng, target=np.array(point), quadrotor=quadrotor))
    watch = FreezeWatch(replace(LIMITS, frozen_time=0.05))
    for number in range(6000):
        fields = vars(drone.state)
        state = State(*(fields[name].astype(precision) for name in State.__dataclass_fields__))
        assert watch.check(sample(state, number * TICK_NS)) is None
        command = backup.fly(state, Reference(np.array(point)))
        backup.follow(command)
        drone.step(command.values)
    drone.close()
