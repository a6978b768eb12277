"""Analytic policy gradients: runs reproduce, resume, learn, and refuse impossible options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_controller.vehicle.airframe import load_quadrotor
from snn_sim.envs.rate_control import MAX_DELAY
from snn_training.algorithms.apg.flights import FlightPool, PoolConfig
from snn_training.algorithms.apg.learner import ApgConfig, ApgLearner, CostConfig
from snn_training.algorithms.apg.train import ApgTraining, Args
from snn_training.algorithms.apg.train import main as train_apg
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import Network, make_network

QUADROTOR = load_quadrotor("crazyflie21")
QUIET = ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0)


def options(folder: Path, name: str = "run", **changes: Any) -> Args:
    args = Args(
        name=name,
        folder=folder,
        intervals=2,
        updates=2,
        ticks=10,
        validation=8,
        learner=ApgConfig(compile="off"),
        pool=PoolConfig(flights=8),
        network=NetworkConfig(kind="mlp_history", hidden=(16,)),
        reporting=QUIET,
    )
    return replace(args, **changes)


def small_network(kind: str = "mlp_history") -> Network:
    config = NetworkConfig(kind=kind, hidden=(16, 8))  # type: ignore[arg-type]
    return make_network(config, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
def test_same_seed_same_policy(tmp_path: Path) -> None:
    for name in ("one", "two"):
        train_apg(options(tmp_path, name))
    one, two = (
        torch.load(tmp_path / x / "checkpoint.pt", weights_only=True)["learner"]["network"]
        for x in ("one", "two")
    )
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert Policy.load(tmp_path / "one" / "policy.onnx").metadata.airframe == "crazyflie21"


@pytest.mark.slow
def test_resumed_run_ends_as_the_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_apg(options(tmp_path, "whole"))
    args, real = options(tmp_path, "broken"), ApgTraining.step

    def stopped(self: ApgTraining, progress: float) -> tuple[float]:
        if len(self.rows) == 1:
            raise KeyboardInterrupt
        return real(self, progress)

    with monkeypatch.context() as patch:
        patch.setattr(ApgTraining, "step", stopped)
        assert not train_apg(args)
    assert train_apg(replace(args, resume=True))
    whole, broken = (
        torch.load(tmp_path / x / "checkpoint.pt", weights_only=True)["learner"]["network"]
        for x in ("whole", "broken")
    )
    assert all(torch.equal(whole[key], broken[key]) for key in whole)


@pytest.mark.parametrize("kind", ["spiking", "gru", "mlp", "mlp_history"])
def test_every_network_gets_a_gradient_through_the_drone(kind: str) -> None:
    network = small_network(kind)
    learner = ApgLearner(ApgConfig(compile="off"), CostConfig(), network, QUADROTOR, total=10)
    pool = FlightPool(PoolConfig(flights=6), QUADROTOR, network, ticks=20, seed=0)
    costs, _ = learner.fly(pool.segment())
    costs.mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0.0 or "readout_log" in name, name


@pytest.mark.slow
def test_learns_to_recover() -> None:
    """In 60 small steps the cost of 0.8 s from standard starts falls to less than half."""
    network = small_network()
    config = PoolConfig(
        flights=32, starts=("standard",), robust_share=0.0, noisy_share=0.0, moving_share=0.0,
        step_share=0.0, segments=1,
    )  # fmt: skip
    learner = ApgLearner(
        ApgConfig(learning_rate=1e-2, compile="off"), CostConfig(), network, QUADROTOR, total=60
    )
    pool = FlightPool(config, QUADROTOR, network, ticks=80, seed=1)
    costs = [learner.update(pool) for _ in range(60)]
    assert np.mean(costs[-3:]) < 0.5 * np.mean(costs[:3])


def test_lost_and_old_flights_begin_anew() -> None:
    network = small_network()
    config = PoolConfig(flights=10, end_chance=0.0, segments=2, moving_share=0.0, step_share=0.0)
    pool = FlightPool(config, QUADROTOR, network, ticks=5, seed=2)
    state = pool.state._replace(position=pool.state.position.clone())
    state.position[3, 0] = 5.0
    state.position[4, 1] = float("nan")
    before = pool.state.position.clone()
    pool.advance(
        state, tuple(x + 1.0 for x in pool.network_states), torch.ones(10, 1 + MAX_DELAY, 4)
    )
    assert pool.age[3] == pool.age[4] == 0
    assert (np.delete(pool.age, [3, 4]) == 1).all()
    assert pool.state.position[[3, 4]].abs().max() < 0.6
    assert torch.equal(pool.state.position[0], before[0])
    assert (pool.network_states[0][[3, 4]] == 0.0).all() and (pool.last_actions[0] == 1.0).all()
    pool.advance(pool.state, pool.network_states, torch.ones(10, 1 + MAX_DELAY, 4))
    assert (pool.age[[0, 1]] == 0).all() and pool.age[3] == 1


def test_disturbed_shares_are_disturbed() -> None:
    config = PoolConfig(flights=20, robust_share=0.5, noisy_share=0.25)
    pool = FlightPool(config, QUADROTOR, small_network(), ticks=3, seed=3)
    masses = pool.physics.mass[:, 0]
    assert (masses[:5] == masses[0]).all() and masses[5:15].unique().numel() == 10
    assert (masses[15:] == masses[0]).all()
    assert (pool.noise[:5] == 0.0).all() and (pool.noise[15:, 0] > pool.noise[5:10, 0].max()).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"intervals": 0},
        {"ticks": 0},
        {"pool": PoolConfig(robust_share=0.8, noisy_share=0.4)},
        {"pool": PoolConfig(flights=0)},
        {"cost": CostConfig(wall=-1.0)},
        {"cost": CostConfig(wall=float("nan"))},
        {"learner": ApgConfig(learning_rate=0.0)},
        {"learner": ApgConfig(slope=1000.0)},
        {"network": NetworkConfig(control_rate=500.0)},
    ],
)
def test_impossible_options_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="must be"):
        train_apg(options(tmp_path, **changes))
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_keeps_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = options(tmp_path, learner=ApgConfig(learning_rate=1.0, compile="off"))
    real = ApgTraining.begin

    def spoilt(self: ApgTraining, progress: float) -> None:
        real(self, progress)
        with torch.no_grad():
            next(self.learner.network.parameters()).fill_(float("nan"))

    monkeypatch.setattr(ApgTraining, "begin", spoilt)
    with pytest.raises(UserError, match="no longer finite"):
        train_apg(args)
    kept = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["learner"]["network"]
    assert all(bool(torch.isfinite(x).all()) for x in kept.values())
