"""Memory ablation: with a reset every tick, no kind of artifact remembers. Takes about 15 s."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.policy.runtime import Policy
from snn_controller.vehicle.observation import observe
from snn_controller.vehicle.state import Reference, State
from snn_training.artifacts.export import export_policy
from snn_training.artifacts.file import ArtifactInfo
from snn_training.artifacts.guide import export_guide
from snn_training.evaluation.evaluate import Args, Simulator, evaluate
from snn_training.evaluation.flights import AmnesicActor
from snn_training.networks.actor_critic import GuideActor
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import make_network
from snn_training.rollouts.actors import Actor
from snn_training.rollouts.batched_policy import BatchedPolicy

ORIGIN = Reference(np.zeros(3))
TICKS, DRONES = 12, 3
KINDS: dict[str, dict[str, Any]] = {
    "published": {},
    "leaky": {"readout": "leaky"},
    "hard_reset": {"reset": "hard"},
    "recurrent": {"recurrent": True},
    "current": {"synapse": "current"},
    "gru": {"kind": "gru"},
    "mlp_history": {"kind": "mlp_history"},
    "mlp": {"kind": "mlp"},
    "no_memory": {"memory": False},
    "guide": {},
}
FORGETFUL = ("mlp", "no_memory")  # nothing to take away


@pytest.fixture(scope="module", params=KINDS)
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / f"{request.param}.onnx"
    generator = torch.Generator().manual_seed(0)
    if request.param == "guide":
        export_guide(GuideActor((8,), generator), path, ArtifactInfo("crazyflie21"))
    else:
        config = NetworkConfig(hidden=(24, 12), **KINDS[request.param])
        export_policy(make_network(config, generator=generator), path, ArtifactInfo("crazyflie21"))
    return path


def states() -> list[State]:
    """Return states (drones,) of a swing around the target, tick by tick."""
    rng = np.random.default_rng(0)
    level = np.tile([0.0, 0.0, 0.0, 1.0], (DRONES, 1))
    return [
        State(rng.normal(0.0, 0.2, (DRONES, 3)), level, *rng.normal(0.0, 0.5, (2, DRONES, 3)))
        for _ in range(TICKS)
    ]


def fly(actor: Actor) -> np.ndarray:
    senses: list[Any] = [SimpleNamespace(observations=observe(x, ORIGIN)) for x in states()]
    return np.stack([actor.act(x) for x in senses])


def test_every_tick_is_a_first_tick(artifact: Path) -> None:
    policy = Policy.load(artifact)
    expected = np.zeros((TICKS, DRONES, 4))
    for tick, state in enumerate(states()):
        for drone, observation in enumerate(observe(state, ORIGIN)):
            policy.reset()
            expected[tick, drone] = policy.step(observation)
    batched = BatchedPolicy(policy, DRONES)
    ablated = fly(AmnesicActor(batched))
    np.testing.assert_allclose(ablated, expected, atol=1e-5)
    batched.reset()
    whole = fly(batched)
    assert np.allclose(whole, expected, atol=1e-5) == (artifact.stem in FORGETFUL)


@pytest.mark.parametrize("sim", ["batched", "pybullet"])
def test_both_simulators_fly_it(artifact: Path, sim: Simulator) -> None:
    whole, ablated = (
        evaluate(Args(str(artifact), sim=sim, cells=("easy",), reset_every_tick=forget))
        for forget in (False, True)
    )
    assert (whole["reset_every_tick"], ablated["reset_every_tick"]) == (False, True)
    lengths = [report["cells"]["easy"]["length"]["mean"] for report in (whole, ablated)]
    assert min(lengths) >= 1.0
    returns = [report["cells"]["easy"]["return_end"]["mean"] for report in (whole, ablated)]
    assert (returns[0] == returns[1]) == (artifact.stem in FORGETFUL)
