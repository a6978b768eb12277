"""The scenarios of the fixed test: starts, disturbances, and that an episode stays the same."""

from __future__ import annotations

import numpy as np
import pytest

from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.observation import observe
from snn_controller.vehicle.state import Reference, State
from snn_sim.task.disturbances import measure
from snn_training.evaluation.scenarios import SCENARIOS, draw_episode, episode_generator

QUADROTOR = load_quadrotor("crazyflie21")


def test_scenarios_are_those_of_the_design_in_their_fixed_order() -> None:
    assert list(SCENARIOS) == ["easy", "standard", "hard", "published", "robust", "noisy"]
    assert {
        name: scenario.start for name, scenario in SCENARIOS.items() if scenario.start != name
    } == {
        "published": "hard",
        "robust": "standard",
        "noisy": "standard",
    }
    assert (SCENARIOS["published"].steps, SCENARIOS["published"].guided_steps) == (1000, 50)


def test_seeds_and_scenarios_give_other_starts() -> None:
    keys = [(0, "standard", 0), (1, "standard", 0), (0, "standard", 1), (0, "hard", 0)]
    draws = [episode_generator(*key).uniform() for key in keys]
    assert len(set(draws)) == len(draws)
    assert draws[0] == episode_generator(0, "standard", 0).uniform()


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_episode_is_the_same_whenever_it_is_drawn(name: str) -> None:
    one, other = (draw_episode(name, 3, 7, QUADROTOR) for _ in range(2))
    np.testing.assert_array_equal(one.state.position, other.state.position)
    np.testing.assert_array_equal(one.rotors, other.rotors)
    assert (one.conditions.noise is None) == (name not in ("robust", "noisy"))
    assert (one.conditions.disturbance is None) == (name != "robust")
    if one.conditions.noise is not None:
        np.testing.assert_array_equal(one.conditions.noise, other.conditions.noise)
        assert one.conditions.noise.shape == (SCENARIOS[name].steps, 18)
    if one.conditions.disturbance is not None and other.conditions.disturbance is not None:
        np.testing.assert_array_equal(
            one.conditions.disturbance.force, other.conditions.disturbance.force
        )


def test_robust_episodes_have_the_sizes_of_the_design() -> None:
    draws = [draw_episode("robust", 0, number, QUADROTOR) for number in range(1000)]
    found = [draw.conditions.disturbance for draw in draws]
    disturbances = [x for x in found if x is not None]
    weight = QUADROTOR.mass * QUADROTOR.gravity
    mass = np.array([x.quadrotor.mass for x in disturbances]) / QUADROTOR.mass
    lag = np.array([x.quadrotor.motor_time_constant_up for x in disturbances]) / 0.072
    delay = np.array([x.delay for x in disturbances])
    for values, low, high in ((mass, 0.8, 1.2), (lag, 0.5, 2.0), (delay, 0.0, 0.02)):
        width = high - low
        assert low <= values.min() < low + 0.01 * width
        assert high - 0.01 * width < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2.0, abs=0.04 * width)
    force = np.array([x.force for x in disturbances])
    torque = np.array([x.torque for x in disturbances])
    assert force.std() == pytest.approx(weight / 20.0, rel=0.06)
    assert torque.std() == pytest.approx(weight / 10_000.0, rel=0.06)
    pushes = np.array([np.linalg.norm(x.push) for x in disturbances])
    np.testing.assert_allclose(pushes, 0.2 * weight)
    assert {x.push_end - x.push_start for x in disturbances} == {20}
    starts = np.array([x.push_start for x in disturbances])
    assert starts.min() < 10
    assert 470 < starts.max() <= 480
    first = disturbances[0]
    np.testing.assert_array_equal(first.force_at(first.push_end), first.force)
    np.testing.assert_array_equal(first.force_at(first.push_start), first.force + first.push)


def test_what_is_measured_is_the_noisy_observation() -> None:
    rng, reference = np.random.default_rng(0), Reference(np.array([0.1, 0.0, 0.0]))
    rows = rng.uniform(-0.3, 0.3, (5, 3))
    state = State(rows, rng.normal(size=(5, 4)), rows, rows)
    noise = 0.01 * rng.normal(size=(5, 18))
    expected = observe(state, reference) + noise
    np.testing.assert_allclose(observe(measure(state, noise), reference), expected, atol=1e-6)
    far = measure(State(rows + 0.59, *[state.quaternion, rows, rows]), noise + 0.1)
    assert np.abs(observe(far, reference)[:, :3]).max() == np.float32(0.6)
