"""PyTorch, NumPy and onnxruntime run the same network over 2,000 stateful ticks.

Spiking is discontinuous: a rounding difference can flip a spike, so actions are compared with a
tolerance and flipped spikes are counted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from snn_controller.policy.runtime import Policy
from snn_training.artifacts.export import export_policy
from snn_training.artifacts.file import ArtifactInfo, flight_like_observations
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import numpy_stepper
from snn_training.networks.spiking import SpikingPolicy

TICKS = 2000
Trace = tuple[NDArray[np.float32], NDArray[np.bool_]]  # actions (ticks, 4), spikes (ticks, 384)


def _policy(readout: str) -> SpikingPolicy:
    return SpikingPolicy(
        NetworkConfig(readout=readout),  # type: ignore[arg-type]
        generator=torch.Generator().manual_seed(11),
    )


def _observations(kind: str) -> NDArray[np.float32]:
    rng = np.random.default_rng(12)
    if kind == "flight":
        return flight_like_observations(TICKS, rng)
    return rng.normal(0.0, 1.0, (TICKS, 18)).astype(np.float32)


def _run_torch(policy: SpikingPolicy, observations: NDArray[np.float32]) -> Trace:
    states, step, actions, spikes = policy.initial_states(), policy.stepper(), [], []
    with torch.no_grad():
        for observation in torch.from_numpy(observations):
            action, states, fired = step(observation[None], states)
            actions.append(action[0].numpy())
            spikes.append(torch.cat(fired, dim=1)[0].numpy() > 0)
    return np.stack(actions), np.stack(spikes)


def _run_numpy(policy: SpikingPolicy, observations: NDArray[np.float32]) -> Trace:
    step, actions, spikes = numpy_stepper(policy), [], []
    states = tuple(x.numpy() for x in policy.initial_states())
    for observation in observations:
        action, states, fired = step(observation[None], states)
        actions.append(action[0])
        spikes.append(np.concatenate(fired, axis=1)[0] > 0)
    return np.stack(actions), np.stack(spikes)


def _run_artifact(path: Path, observations: NDArray[np.float32]) -> Trace:
    policy, actions, spikes = Policy.load(path), [], []
    for observation in observations:
        actions.append(policy.step(observation))
        spikes.append(np.concatenate(list(policy.spikes.values())))
    return np.stack(actions), np.stack(spikes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "flight"])
@pytest.mark.parametrize("readout", ["spikes", "leaky"])
def test_three_runtimes_agree(kind: str, readout: str, tmp_path: Path) -> None:
    policy, observations = _policy(readout), _observations(kind)
    export_policy(policy, tmp_path / "policy.onnx", ArtifactInfo("crazyflie21"))
    reference = _run_torch(policy, observations)
    rate = reference[1].mean()
    assert 0.02 < rate < 0.9  # neither silent nor saturated, else parity would be trivial
    for other in (
        _run_numpy(policy, observations),
        _run_artifact(tmp_path / "policy.onnx", observations),
    ):
        flipped = (other[1] != reference[1]).any(axis=1)
        assert (other[1] != reference[1]).sum() <= 1e-4 * reference[1].size
        # a flipped spike is worth one weight; ticks without one agree to rounding
        assert flipped.mean() <= 0.02
        differences = np.abs(other[0] - reference[0]).max(axis=1)
        assert np.quantile(differences, 0.95) < 1e-4
        assert differences.max() < 0.1
