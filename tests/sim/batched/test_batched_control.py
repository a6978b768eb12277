"""Taking the batched twin by the hand: restarts, snapshots, moving references."""

from __future__ import annotations

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.observation import observe
from snn_controller.vehicle.state import Reference
from snn_sim.batched.batch import DroneBatch
from snn_sim.task.disturbances import ROBUST
from snn_sim.task.reward import END_COEFFICIENTS

QUADROTOR = load_quadrotor("crazyflie21")
HOVER = np.float32(2.0 * QUADROTOR.hover_throttle - 1.0)


def test_restart_begins_the_next_episodes_of_the_chosen_drones() -> None:
    """By mask or by number, the same episodes as the automatic restart begins."""
    by_mask, by_number, automatic = (
        DroneBatch(QUADROTOR, 40, starts=("hard",), disturbances=ROBUST, seed=2) for _ in range(3)
    )
    ended = np.zeros(40, np.bool_)
    while not ended.any():
        for drones in (by_mask, by_number):
            drones.step(-np.ones((40, 4)), auto_reset=False)
        automatic.step(-np.ones((40, 4)))
        ended = by_mask.terminated.copy()
    by_mask.restart(ended)
    by_number.restart(np.flatnonzero(ended))
    np.testing.assert_array_equal(by_mask.steps == 0, ended)
    for drones in (by_number, automatic):
        np.testing.assert_array_equal(drones.observations, by_mask.observations)
        np.testing.assert_array_equal(drones.terminated, ended)


@pytest.mark.parametrize("drones", [np.ones(3, np.bool_), np.array([5]), np.array([-1])])
def test_restart_refuses_drones_that_are_not_there(drones: Array) -> None:
    with pytest.raises(UserError, match="numbers from 0 to 4"):
        DroneBatch(QUADROTOR, 5).restart(drones)


def test_reset_forgets_the_last_step() -> None:
    drones = DroneBatch(QUADROTOR, 3, starts=("easy",))
    drones.step(np.full((3, 4), np.nan), auto_reset=False)
    assert drones.terminated.all()
    drones.step(np.full((3, 4), HOVER), auto_reset=False)
    drones.reset()
    assert not drones.terminated.any()
    assert not drones.truncated.any()
    np.testing.assert_array_equal(drones.rewards, 0.0)


def test_a_restored_batch_flies_on_bit_by_bit() -> None:
    """Into the next episodes, with their disturbances and noise, whatever the other one did."""
    drones, other = (DroneBatch(QUADROTOR, 37, disturbances=ROBUST, seed=x) for x in (6, 7))
    rng = np.random.default_rng(0)
    for _ in range(30):
        drones.step(rng.uniform(-1.0, 1.0, (37, 4)))
    drones.set_coefficients(END_COEFFICIENTS)
    drones.set_references(Reference(rng.normal(size=(37, 3))))
    snapshot = drones.snapshot()
    for _ in range(2):
        other.restore(snapshot)
        drones.restore(snapshot)
        for actions in rng.uniform(-1.0, 1.0, (150, 37, 4)):
            drones.step(actions)
            other.step(actions)
            for name in ("observations", "final_observations", "rewards", "terminated"):
                np.testing.assert_array_equal(getattr(drones, name), getattr(other, name), name)
    assert (drones._arrays.episodes > snapshot["episodes"]).all()


def test_a_snapshot_of_another_batch_is_refused() -> None:
    with pytest.raises(UserError, match="do not fit those of these drones"):
        DroneBatch(QUADROTOR, 40).restore(DroneBatch(QUADROTOR, 20).snapshot())


def test_references_moved_before_a_step_show_after_it() -> None:
    """Of a size that fills a tile and a part of one, and one reference for all as well."""
    drones = DroneBatch(QUADROTOR, 50, starts=("easy",))
    before = drones.observations.copy()
    for reference in (
        Reference(np.linspace(0.0, 0.1, 150).reshape(50, 3), np.full((50, 3), 0.2)),
        Reference(np.array([0.05, 0.0, 0.0])),
    ):
        drones.set_references(reference, observe=False)
        np.testing.assert_array_equal(drones.observations, before)
        drones.step(np.full((50, 4), HOVER))
        expected = observe(drones.state, reference)
        np.testing.assert_allclose(drones.observations, expected, rtol=1e-6, atol=3e-7)
        before = drones.observations.copy()
