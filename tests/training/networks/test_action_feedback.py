"""A spiking policy that sees its last action: in windows of flight, in ticks, in the artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_training.algorithms.bc import Args, check
from snn_training.artifacts.export import export_benchmark, export_policy
from snn_training.artifacts.file import ArtifactInfo
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import Network, make_network, numpy_stepper, unroll
from snn_training.networks.spiking import SpikingPolicy
from snn_training.rollouts.batched_policy import BatchedPolicy

TICKS, BATCH = 40, 3


def _network(**options: object) -> Network:
    config = NetworkConfig(hidden=(32, 16), action_feedback=True, **options)  # type: ignore[arg-type]
    return make_network(config, generator=torch.Generator().manual_seed(1))


def _flight() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return observations, what somebody flew, and restarts."""
    generator = torch.Generator().manual_seed(2)
    observations = torch.randn(TICKS, BATCH, 18, generator=generator)
    flown = 2.0 * torch.rand(TICKS, BATCH, 4, generator=generator) - 1.0
    restarts = torch.zeros(TICKS, BATCH, dtype=torch.bool)
    restarts[25, 1] = True
    return observations, flown, restarts


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"readout": "leaky", "kernel": "auto"},
        {"synapse": "current", "recurrent": True, "readout": "leaky"},
        {"memory": False, "readout": "leaky"},
    ],
)
def test_windows_equal_ticks_that_see_what_was_flown(options: dict[str, object]) -> None:
    network = _network(**options)
    observations, flown, restarts = _flight()
    whole = unroll(network, observations, flown, restarts, 10.0).detach()
    step = numpy_stepper(network)
    states = tuple(x.numpy().copy() for x in network.initial_states(BATCH))
    for tick in range(TICKS):
        for state in states:
            state[restarts[tick].numpy()] = 0.0
        action, states, _ = step(observations[tick].numpy(), states)
        np.testing.assert_allclose(action, whole[tick], atol=1e-4)
        states = tuple(np.array(x) for x in network.set_applied_action(states, flown[tick].numpy()))


def test_what_was_flown_matters_a_tick_later() -> None:
    network = _network(readout="leaky")
    observations, flown, restarts = _flight()
    other = flown.clone()
    other[10] += 0.5
    one, two = (unroll(network, observations, x, restarts, 10.0) for x in (flown, other))
    assert torch.equal(one[:11], two[:11])
    assert (one[11:20] - two[11:20]).abs().max() > 1e-3


def test_the_feedback_learns() -> None:
    network = _network(readout="leaky")
    assert isinstance(network, SpikingPolicy)
    (unroll(network, *_flight(), 10.0) - 0.3).square().mean().backward()
    assert network.feedback_weight.grad is not None
    assert network.feedback_weight.grad.abs().max() > 0.0


def test_the_artifact_is_told_what_was_flown(tmp_path: Path) -> None:
    network = _network(readout="leaky")
    export_policy(network, tmp_path / "policy.onnx", ArtifactInfo("crazyflie21"))
    policy = Policy.load(tmp_path / "policy.onnx")
    observations, flown, restarts = _flight()
    whole = unroll(network, observations, flown, torch.zeros_like(restarts), 10.0).detach().numpy()
    before = np.zeros((BATCH, 4), np.float32)
    listening = Policy.load(tmp_path / "policy.onnx")
    batched = BatchedPolicy(policy, BATCH)
    assert not batched.row_by_row
    for tick in range(TICKS):
        action = policy.step(observations[tick, 0], last_applied_action=before[0])
        np.testing.assert_allclose(action, whole[tick, 0], atol=1e-4)
        listening.heed(before[0])
        np.testing.assert_array_equal(listening.step(observations[tick, 0]), action)
        batched.set_applied_action(before)
        np.testing.assert_allclose(batched.step(observations[tick].numpy()), whole[tick], atol=1e-4)
        before = flown[tick].numpy()
    assert policy.metadata.layers[0].fan_in == 18 + 4
    assert policy.metadata.input_macs == (18 + 4) * 32


def test_by_itself_the_artifact_sees_its_own_actions(tmp_path: Path) -> None:
    network = _network()
    export_policy(network, tmp_path / "policy.onnx", ArtifactInfo("crazyflie21"))
    policy = Policy.load(tmp_path / "policy.onnx")
    step, states = numpy_stepper(network), tuple(x.numpy() for x in network.initial_states())
    for observation in _flight()[0][:, 0].numpy():
        action, states, _ = step(observation[None], states)
        np.testing.assert_allclose(policy.step(observation), action[0], atol=1e-4)


def test_at_another_rate_the_feedback_drives_membranes_as_far(tmp_path: Path) -> None:
    network = _network(readout="leaky")
    assert isinstance(network, SpikingPolicy)
    faster = network.at_rate(500.0)
    ratio = faster.feedback_weight / network.feedback_weight
    expected = faster.weights[0] / network.weights[0]  # of the observation
    torch.testing.assert_close(ratio, expected[:4])
    assert ratio.max() < 0.9
    export_benchmark(network, tmp_path / "policy.onnx", 500.0, "crazyflie21")
    assert Policy.load(tmp_path / "policy.onnx").metadata.control_rate == 500.0


def test_who_does_not_know_what_was_flown_is_told() -> None:
    network = _network()
    with pytest.raises(ValueError, match="needs the actions that were flown"):
        network(_flight()[0], network.initial_states(BATCH), 10.0)
    with pytest.raises(UserError, match=r"--network\.action-feedback.* off in bc\.py"):
        check(Args(network=NetworkConfig(action_feedback=True)))
