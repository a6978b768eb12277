"""Sensor bias and dropouts on the twin: their sizes, when they change, that they are seen only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.observation import OBSERVATION_SIZE, observe
from snn_controller.vehicle.state import Reference
from snn_sim.batched.batch import DroneBatch
from snn_sim.task.disturbances import NOMINAL, Disturbances, draw_disturbance

QUADROTOR = load_quadrotor("crazyflie21")
HOVER = 2.0 * QUADROTOR.hover_throttle - 1.0
BIASED = replace(
    NOMINAL, position_bias=0.01, rotation_bias=0.005, velocity_bias=0.05, rate_bias=0.1
)
FORGETFUL = replace(NOMINAL, dropout=0.2)


def offsets(drones: DroneBatch) -> np.ndarray:
    """Return what the observations (count, 18) are off by."""
    truth = observe(drones.state, Reference(np.zeros(3)))
    return drones.observations.astype(np.float64) - truth


def test_bias_is_constant_in_an_episode_and_new_in_the_next() -> None:
    drones = DroneBatch(QUADROTOR, 50, starts=("easy",), disturbances=BIASED, seed=1)
    first = offsets(drones)
    for _ in range(20):
        drones.step(np.full((50, 4), HOVER))
        np.testing.assert_allclose(offsets(drones), first, atol=3e-7)
    drones.reset()
    assert (np.abs(offsets(drones) - first) > 1e-5).mean() > 0.99


def test_bias_has_its_size_and_does_not_move_the_drone() -> None:
    biased, plain = (
        DroneBatch(QUADROTOR, 4000, starts=("easy",), disturbances=x) for x in (BIASED, NOMINAL)
    )
    np.testing.assert_allclose(offsets(biased).std(axis=0), BIASED.bias, rtol=0.06)
    for drones in (biased, plain):
        drones.step(np.full((4000, 4), HOVER))
    np.testing.assert_array_equal(biased.state.position, plain.state.position)
    np.testing.assert_array_equal(biased.rewards, plain.rewards)


def test_a_dropout_repeats_the_last_observation_whole() -> None:
    drones = DroneBatch(QUADROTOR, 500, starts=("hover",), disturbances=FORGETFUL)
    repeated, late = [], 0
    for _ in range(40):
        before = drones.observations.copy()
        drones.step(np.full((500, 4), HOVER + 0.1))
        same = (drones.observations == before).all(axis=1)
        repeated.append(same)
        late += np.abs(offsets(drones)[~same]).max() > 3e-7
    assert late == 0  # what does not drop out is the truth of now
    assert np.mean(repeated) == pytest.approx(0.2, abs=0.015)
    following = np.mean(np.array(repeated)[1:] & np.array(repeated)[:-1])
    assert following == pytest.approx(0.04, abs=0.01)  # each step by itself


def test_the_first_observation_of_an_episode_never_drops_out() -> None:
    drones = DroneBatch(QUADROTOR, 300, disturbances=replace(NOMINAL, dropout=0.9))
    np.testing.assert_allclose(offsets(drones), 0.0, atol=3e-7)
    drones.set_references(Reference(np.full(3, 0.1)))
    expected = observe(drones.state, Reference(np.full(3, 0.1)))
    np.testing.assert_allclose(drones.observations, expected, atol=3e-7)


def test_faults_given_by_hand_last_an_episode() -> None:
    drones = DroneBatch(QUADROTOR, 2, starts=("easy",))
    still = draw_disturbance(
        NOMINAL, np.random.default_rng(0), quadrotor=QUADROTOR, period=0.01, steps=500
    )
    bias = np.arange(OBSERVATION_SIZE) / 1000.0
    drones.set_disturbances([replace(still, bias=bias), replace(still, dropout=0.999)])
    before = drones.observations.copy()
    drones.step(np.full((2, 4), HOVER))
    np.testing.assert_allclose(offsets(drones)[0], bias, atol=1e-6)
    np.testing.assert_array_equal(drones.observations[1], before[1])
    drones.reset()
    np.testing.assert_allclose(offsets(drones), 0.0, atol=1e-6)


@pytest.mark.parametrize("sizes", [{"dropout": 1.0}, {"dropout": -0.1}, {"rate_bias": np.inf}])
def test_impossible_faults_are_refused(sizes: dict[str, float]) -> None:
    with pytest.raises(UserError, match="dropout below 1"):
        DroneBatch(QUADROTOR, 1, disturbances=Disturbances(**sizes))
