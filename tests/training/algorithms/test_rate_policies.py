"""Policies that command thrust and body rates: trained by the same scripts, charged by throttle.

Ten seconds on a free core, most of them for the gradient through the drone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_controller.vehicle.airframe import load_quadrotor
from snn_sim.envs.make import make_drones
from snn_training.algorithms.apg.flights import FlightLoops, FlightPool, PoolConfig
from snn_training.algorithms.apg.learner import ApgConfig, ApgLearner, CostConfig
from snn_training.algorithms.apg.train import Args as ApgArgs
from snn_training.algorithms.apg.train import main as train_apg
from snn_training.algorithms.td3bc.jsrl import Args as JsrlArgs
from snn_training.algorithms.td3bc.jsrl import main as train_jsrl
from snn_training.algorithms.td3bc.learner import SequenceConfig
from snn_training.algorithms.td3bc.training import choose_guide
from snn_training.artifacts.export import export_policy
from snn_training.artifacts.file import ArtifactInfo
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import make_network
from snn_training.rollouts.actors import open_guide
from snn_training.rollouts.collector import Collector

QUADROTOR = load_quadrotor("crazyflie21")
QUIET = ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0)
HISTORY = NetworkConfig(kind="mlp_history", hidden=(16,))


def apg_options(folder: Path) -> ApgArgs:
    return ApgArgs(
        name="guide",
        folder=folder,
        action_kind="thrust_rates",
        intervals=2,
        updates=2,
        ticks=10,
        validation=8,
        learner=ApgConfig(compile="off"),
        pool=PoolConfig(flights=8),
        network=HISTORY,
        reporting=QUIET,
    )


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apg")
    train_apg(apg_options(folder))
    return folder / "guide" / "policy.onnx"


@pytest.mark.slow
def test_apg_exports_what_the_policy_commands(guide: Path) -> None:
    assert Policy.load(guide).metadata.action_kind == "thrust_rates"


@pytest.mark.slow
def test_apg_begins_at_hover_and_learns_to_recover() -> None:
    """In 30 steps the cost of 0.5 s from standard starts falls."""
    network = make_network(HISTORY, generator=torch.Generator().manual_seed(0))
    pool_config = PoolConfig(
        flights=24, starts=("standard",), robust_share=0.3, noisy_share=0.0, moving_share=0.0,
        step_share=0.0, segments=1,
    )  # fmt: skip
    config = ApgConfig(learning_rate=1e-2, compile="off")
    kind: dict[str, Any] = {"action_kind": "thrust_rates"}
    learner = ApgLearner(config, CostConfig(), network, QUADROTOR, total=30, **kind)
    bias = network.get_parameter("readout.bias")
    assert bool((bias == 0.0).all())  # the action that hovers
    pool = FlightPool(pool_config, QUADROTOR, network, ticks=50, seed=1, **kind)
    costs = [learner.update(pool) for _ in range(30)]
    assert np.mean(costs[-3:]) < 0.9 * np.mean(costs[:3])


def test_flights_have_loops_of_their_own_and_snapshots_keep_them() -> None:
    loops = FlightLoops(QUADROTOR, 7)
    rng = np.random.default_rng(0)
    loops.redraw(np.ones(7, np.bool_), rng)
    assert len(np.unique(loops.present.rates[:, 0])) == 7
    kept = {k: x.copy() for k, x in loops.snapshot().items()}
    only_one = np.arange(7) == 5
    loops.redraw(only_one, rng)
    np.testing.assert_array_equal(loops.present.rates[:, 0] != kept["rates"][:, 0], only_one)
    loops.restore(kept)
    np.testing.assert_array_equal(loops.present.rates, kept["rates"])


def test_scores_charge_the_throttle_and_not_the_action() -> None:
    drones = make_drones("batched", QUADROTOR, 5, action_kind="thrust_rates", starts=("easy",))
    for _ in range(100):
        drones.step(np.zeros((5, 4)), auto_reset=False)
    np.testing.assert_allclose(drones.reward_parts[:, 2], 0.0, atol=1e-4)  # of the throttle


def test_histories_begin_with_the_thrust_that_the_rotors_show() -> None:
    drones = make_drones("batched", QUADROTOR, 20, action_kind="thrust_rates")
    rng = np.random.default_rng(0)
    collector = Collector(drones, blank_share=0.0, rng=rng, action_kind="thrust_rates")
    thrust = QUADROTOR.thrust(drones.rotors).sum(axis=1) / (QUADROTOR.mass * QUADROTOR.gravity)
    expected = np.clip(thrust - 1.0, -1.0, 1.0)
    np.testing.assert_allclose(collector.start_commands[:, 0], expected, atol=1e-6)
    assert (collector.start_commands[:, 1:] == 0.0).all()


@pytest.mark.slow
def test_jsrl_trains_a_policy_of_the_guides_kind(guide: Path, tmp_path: Path) -> None:
    args = JsrlArgs(
        folder=tmp_path,
        guide=str(guide),
        action_kind="thrust_rates",
        drones=8,
        intervals=1,
        updates=2,
        first_ticks=20,
        replay=2000,
        validation=4,
        network=NetworkConfig(hidden=(16, 16)),
        learner=SequenceConfig(sequence=20, warm_up=5, batch=4),
        reporting=QUIET,
    )
    train_jsrl(args)
    assert Policy.load(tmp_path / "jsrl" / "policy.onnx").metadata.action_kind == "thrust_rates"


def test_guides_of_another_kind_are_refused(guide: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="commands thrust_rates"):
        open_guide(str(guide), 2)
    with pytest.raises(UserError, match="--action-kind thrust_rates"):
        open_guide("geometric", 2, "thrust_rates")
    motors = tmp_path / "motors.onnx"
    export_policy(make_network(HISTORY), motors, ArtifactInfo("crazyflie21"))
    with pytest.raises(UserError, match="--action-kind thrust_rates"):
        open_guide(str(motors), 2, "thrust_rates")
    with pytest.raises(UserError, match="--guide apg"):
        choose_guide(JsrlArgs(folder=tmp_path, guide="td3", action_kind="thrust_rates"))
