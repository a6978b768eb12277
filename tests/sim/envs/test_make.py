"""Batches of drones behave alike in both simulators. About 10 s, most of it PyBullet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.vehicle.action import ActionKind
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.observation import BODY_RATES, POSITION_ERROR, ROTATION_MATRIX, observe
from snn_controller.vehicle.state import Reference, State
from snn_sim.envs.drones import SIMULATORS, Drones, Simulator
from snn_sim.envs.make import make_drones
from snn_sim.task.disturbances import NOISY, NOMINAL, ROBUST, draw_disturbance
from snn_sim.task.episode import CRASH_DISTANCE
from snn_sim.task.reward import END_COEFFICIENTS, hover_reward

QUADROTOR = load_quadrotor("crazyflie21")
HOVER = 2.0 * QUADROTOR.hover_throttle - 1.0
FAULTY = replace(ROBUST, rate_bias=0.2, position_bias=0.05, dropout=0.2)
Maker = Callable[..., Drones]


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Iterator[Maker]:
    """Make drones in the simulator of the test's parameter and close them at its end."""
    made: list[Drones] = []

    def maker(count: int, *, sim: Simulator = request.param, **options) -> Drones:
        made.append(make_drones(sim, QUADROTOR, count, **options))
        return made[-1]

    yield maker
    for drones in made:
        drones.close()
        drones.close()


both = pytest.mark.parametrize("make", SIMULATORS, indirect=True)
bullet = pytest.mark.parametrize("make", ["pybullet"], indirect=True)


def assert_same(one: Drones, other: Drones) -> None:
    for name in ("observations", "final_observations", "rewards", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    for name in ("rotors", "steps", "throttles", "histories"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


@both
def test_observation_reward_and_ends_are_those_of_the_rules(make: Maker) -> None:
    rng, count = np.random.default_rng(0), 30
    reference = Reference(rng.uniform(-0.3, 0.3, (count, 3)), rng.uniform(-1, 1, (count, 3)))
    drones = make(count, starts=("hard",), seed=2, coefficients=END_COEFFICIENTS)
    drones.set_references(reference)
    np.testing.assert_allclose(drones.observations, observe(drones.state, reference), atol=3e-7)
    actions = rng.uniform(-1.2, 1.2, (count, 4))
    drones.step(actions, auto_reset=False)
    state = drones.state
    np.testing.assert_allclose(drones.observations, observe(state, reference), atol=3e-6)
    np.testing.assert_allclose(drones.throttles, np.clip(0.5 + 0.5 * actions, 0, 1))
    expected = hover_reward(
        state,
        reference,
        drones.throttles,
        hover_throttle=QUADROTOR.hover_throttle,
        coefficients=END_COEFFICIENTS,
    )
    np.testing.assert_allclose(drones.rewards, expected, atol=1e-9)
    outside = (np.abs(state.position - reference.position) > CRASH_DISTANCE).any(axis=1)
    assert 0 < outside.sum() < count
    np.testing.assert_array_equal(drones.terminated, outside)
    np.testing.assert_array_equal(drones.steps, 1)
    np.testing.assert_array_equal(drones.references.velocity, reference.velocity)


@both
def test_an_action_that_is_not_a_number_crashes_its_drone_only(make: Maker) -> None:
    drones = make(3, starts=("easy",))
    actions = np.full((3, 4), HOVER)
    actions[1, 2] = np.nan
    drones.step(actions, auto_reset=False)
    np.testing.assert_array_equal(drones.terminated, [False, True, False])
    assert drones.rewards[1] == 0.0
    drones.reset()
    assert not drones.terminated.any()
    np.testing.assert_array_equal(drones.rewards, 0.0)
    assert np.isfinite(drones.observations).all()


@both
def test_episodes_end_at_the_cap_and_begin_anew_around_the_reference(make: Maker) -> None:
    drones = make(4, starts=("hover",), episode_steps=30, history_steps=3, seed=1)
    reference = Reference(np.array([5.0, 0.0, 0.0]), np.array([0.0, 0.1, 0.0]))
    drones.set_references(reference)
    drones.reset()
    np.testing.assert_allclose(drones.state.velocity, np.tile([0.0, 0.1, 0.0], (4, 1)))
    for _ in range(30):
        assert not drones.truncated.any()
        before = drones.observations.copy()
        drones.step(np.full((4, 4), HOVER))
    assert drones.truncated.all()
    np.testing.assert_allclose(drones.final_observations, before, atol=3e-3)
    assert (np.abs(drones.observations - before).max(axis=1) > 1e-3).all()
    assert (np.abs(drones.state.position - reference.position) <= 0.2).all()
    np.testing.assert_array_equal(drones.steps, 0)
    np.testing.assert_allclose(drones.histories, HOVER, atol=1e-6)


@both
@pytest.mark.parametrize("action_kind", ["motors", "thrust_rates"])
def test_restored_drones_fly_on_bit_by_bit(make: Maker, action_kind: ActionKind) -> None:
    options = {"disturbances": FAULTY, "history_steps": 5, "action_kind": action_kind}
    drones, other = (make(5, seed=seed, **options) for seed in (6, 7))
    rng = np.random.default_rng(0)
    for actions in rng.uniform(-1.0, 1.0, (30, 5, 4)):
        drones.step(actions)
    drones.set_coefficients(END_COEFFICIENTS)
    drones.set_references(Reference(rng.normal(size=(5, 3)) / 10.0))
    snapshot = drones.snapshot()
    for _ in range(2):
        other.restore(snapshot)
        drones.restore(snapshot)
        assert_same(drones, other)
        for actions in rng.uniform(-1.0, 1.0, (100, 5, 4)):
            drones.step(actions)
            other.step(actions)
            assert_same(drones, other)


@both
def test_restart_begins_what_the_automatic_restart_begins(make: Maker) -> None:
    one, two, automatic = (make(6, starts=("hard",), disturbances=NOISY, seed=2) for _ in range(3))
    ended = np.zeros(6, np.bool_)
    while not ended.any():
        for drones in (one, two):
            drones.step(-np.ones((6, 4)), auto_reset=False)
        automatic.step(-np.ones((6, 4)))
        ended = one.terminated.copy()
    one.restart(ended)
    two.restart(np.flatnonzero(ended))
    np.testing.assert_array_equal(one.steps == 0, ended)
    np.testing.assert_array_equal(one.observations, two.observations)
    np.testing.assert_array_equal(one.observations, automatic.observations)
    with pytest.raises(UserError, match="numbers from 0 to 5"):
        one.restart(np.array([6]))


@both
def test_a_snapshot_of_other_drones_is_refused(make: Maker) -> None:
    taken = {sim: make(2, sim=sim).snapshot() for sim in SIMULATORS}
    mine = make(2).snapshot().keys()
    (other,) = (snapshot for snapshot in taken.values() if snapshot.keys() != mine)
    for snapshot in (make(3).snapshot(), other, {}):
        with pytest.raises(UserError, match="restore it into a batch"):
            make(2).restore(snapshot)


@bullet
def test_a_drone_flies_the_same_whatever_flies_beside_it(make: Maker) -> None:
    few, many = (make(count, disturbances=FAULTY, seed=4) for count in (2, 5))
    other = make(2, disturbances=FAULTY, seed=5)
    for actions in np.random.default_rng(0).uniform(-1.0, 1.0, (80, 5, 4)):
        few.step(actions[:2])
        many.step(actions)
        other.step(actions[:2])
        np.testing.assert_array_equal(few.observations, many.observations[:2])
    assert (few.observations != other.observations).any(axis=1).all()


@pytest.mark.slow
@bullet
def test_sensors_err_as_in_the_twin(make: Maker) -> None:
    """Bias constant in an episode, noise of its size, dropouts as often as asked for."""
    drones = make(40, starts=("easy",), disturbances=replace(NOMINAL, rate_bias=0.1, dropout=0.25))
    truth = Reference(np.zeros(3))
    first = drones.observations - observe(drones.state, truth)
    assert first[:, BODY_RATES].std() == pytest.approx(0.1, rel=0.3)
    repeated = []
    for _ in range(40):
        before = drones.observations.copy()
        drones.step(np.full((40, 4), HOVER + 0.02))
        repeated.append((drones.observations == before).all(axis=1))
        error = (drones.observations - observe(drones.state, truth))[~repeated[-1]]
        np.testing.assert_allclose(error, first[~repeated[-1]], atol=3e-7)
    assert np.mean(repeated) == pytest.approx(0.25, abs=0.04)
    noisy = make(40, starts=("easy",), disturbances=NOISY)
    error = noisy.observations - observe(noisy.state, truth)
    assert error[:, POSITION_ERROR].std() == pytest.approx(NOISY.position_noise, rel=0.3)
    assert error[:, ROTATION_MATRIX].std() == pytest.approx(NOISY.rotation_noise, rel=0.3)


def in_the_same_state(make: Maker, action_kind: ActionKind) -> list[Drones]:
    """Return ten drones in each simulator with the same starts and disturbances."""
    rng, count, zeros = np.random.default_rng(3), 10, np.zeros((10, 3))
    upright = np.tile([0.0, 0.0, 0.0, 1.0], (count, 1))
    state = State(zeros, upright, zeros, rng.uniform(-1.0, 1.0, (count, 3)))
    disturbances = [
        draw_disturbance(ROBUST, rng, quadrotor=QUADROTOR, period=0.01, steps=50)
        for _ in range(count)
    ]
    both_kinds = [make(count, sim=sim, action_kind=action_kind) for sim in SIMULATORS]
    for drones in both_kinds:
        drones.set_states(state, np.full((count, 4), QUADROTOR.hover_throttle))
        drones.set_disturbances(disturbances)
    return both_kinds


@bullet
@pytest.mark.parametrize("action_kind", ["motors", "thrust_rates"])
def test_both_simulators_agree_in_state_and_reward(make: Maker, action_kind: ActionKind) -> None:
    """Half a second with disturbances: millimetres apart, rewards alike."""
    twin, bodies = in_the_same_state(make, action_kind)
    middle = HOVER if action_kind == "motors" else 0.0
    for actions in middle + np.random.default_rng(1).uniform(-0.1, 0.1, (50, 10, 4)):
        for drones in (twin, bodies):
            drones.step(actions, auto_reset=False)
    assert np.abs(twin.state.position).max() > 0.1
    np.testing.assert_allclose(bodies.state.position, twin.state.position, atol=0.005)
    np.testing.assert_allclose(bodies.state.body_rates, twin.state.body_rates, atol=0.05)
    np.testing.assert_allclose(bodies.rewards, twin.rewards, atol=0.02)
    np.testing.assert_allclose(bodies.throttles, twin.throttles, atol=0.06)


@both
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "at least one drone"),
        ({"seed": -1}, "at least 0"),
        ({"history_steps": -1}, "history of 0 steps or more"),
        ({"starts": ("ground",)}, "no start 'ground' in a batch"),
        ({"disturbances": replace(ROBUST, max_delay=0.03)}, "at most 0.02 s"),
        ({"action_kind": "thoughts"}, "choose from the simulators batched, pybullet"),
        ({"sim": "matrix"}, "choose from the simulators batched, pybullet"),
    ],
)
def test_impossible_batches_are_refused(make: Maker, arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(**{"count": 2, **arguments})


@bullet
def test_too_many_worlds_are_refused_and_so_are_actions_of_another_shape(make: Maker) -> None:
    with pytest.raises(UserError, match="at most 64 drones"):
        make(65)
    with pytest.raises(UserError, match=r"\(2, 4\)"):
        make(2).step(np.zeros((3, 4)))
