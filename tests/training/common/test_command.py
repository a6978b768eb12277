"""A study's budget and a simulator replace defaults and nothing that was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from snn_sim.envs.drones import Simulator
from snn_training.common.command import Budget, with_budget, with_simulator


@dataclass
class Args:
    budget: Budget = "full"
    sim: Simulator = "batched"
    rounds: int = 12
    updates: int = 500
    seed: int = 0


def test_a_full_budget_changes_nothing() -> None:
    assert with_budget(Args(seed=3), {"rounds": 2}) == Args(seed=3)


def test_a_study_shortens_what_was_left_at_its_default() -> None:
    args = with_budget(Args(budget="study", updates=7, seed=3), {"rounds": 2, "updates": 9})
    assert args == Args(budget="study", rounds=2, updates=7, seed=3)


def test_pybullet_has_defaults_of_its_own() -> None:
    changes = {"rounds": 3, "updates": 9}
    assert with_simulator(Args(seed=3), changes) == Args(seed=3)
    args = with_simulator(Args(sim="pybullet", updates=7), changes)
    assert args == Args(sim="pybullet", rounds=3, updates=7)
