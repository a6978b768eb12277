"""Joined drones fly as their groups do alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.state import Reference
from snn_sim.batched.batch import DroneBatch
from snn_sim.envs.drones import ConcatenatedDrones
from snn_sim.task.disturbances import NOMINAL, ROBUST

QUADROTOR = load_quadrotor("crazyflie21")


def make_groups(seed: int = 0) -> list[DroneBatch]:
    return [
        DroneBatch(QUADROTOR, count, disturbances=x, seed=seed + number)
        for number, (count, x) in enumerate([(3, NOMINAL), (5, ROBUST)])
    ]


def fly(drones: Any, steps: int, rng: np.random.Generator) -> None:
    for _ in range(steps):
        drones.step(rng.uniform(-0.2, 0.6, (drones.count, 4)))


def test_joined_drones_fly_as_their_groups() -> None:
    joined, (one, two) = ConcatenatedDrones(make_groups()), make_groups()
    positions = np.arange(24.0).reshape(8, 3) / 10.0
    joined.set_references(Reference(positions))
    one.set_references(Reference(positions[:3]))
    two.set_references(Reference(positions[3:]))
    joined.restart(np.array([1, 4, 7]))
    one.restart(np.array([1]))
    two.restart(np.array([1, 4]))
    rng = np.random.default_rng(0)
    for _ in range(50):
        actions = rng.uniform(-0.2, 0.6, (8, 4))
        joined.step(actions)
        one.step(actions[:3])
        two.step(actions[3:])
        for name in ("observations", "rewards", "terminated", "truncated", "rotors", "steps"):
            parts = [getattr(group, name) for group in (one, two)]
            np.testing.assert_array_equal(getattr(joined, name), np.concatenate(parts))
    np.testing.assert_array_equal(joined.state.position[3:], two.state.position)
    np.testing.assert_array_equal(joined.references.position, positions)
    assert joined.loads[:3].max() == 0.0 < np.abs(joined.loads[3:]).min()


def test_a_restored_flight_goes_on_as_it_was() -> None:
    joined, other = ConcatenatedDrones(make_groups(1)), ConcatenatedDrones(make_groups(1))
    fly(joined, 20, np.random.default_rng(1))
    other.restore(joined.snapshot())
    fly(joined, 20, np.random.default_rng(2))
    fly(other, 20, np.random.default_rng(2))
    np.testing.assert_array_equal(joined.observations, other.observations)


def test_states_go_to_their_drones() -> None:
    joined, source = ConcatenatedDrones(make_groups(2)), ConcatenatedDrones(make_groups(3))
    joined.set_states(source.state, source.rotors)
    np.testing.assert_allclose(joined.state.quaternion, source.state.quaternion)
    np.testing.assert_allclose(joined.rotors, source.rotors)
    assert (joined.steps == 0).all()


def test_impossible_groups_and_actions_are_refused() -> None:
    with pytest.raises(UserError, match="one airframe"):
        ConcatenatedDrones([])
    slow = DroneBatch(QUADROTOR, 2, control_rate=50.0)
    with pytest.raises(UserError, match="one airframe"):
        ConcatenatedDrones([*make_groups(), slow])
    joined = ConcatenatedDrones(make_groups())
    with pytest.raises(UserError, match="shape"):
        joined.step(np.zeros((7, 4)))
    with pytest.raises(UserError, match="choose drones"):
        joined.restart(np.array([8]))
