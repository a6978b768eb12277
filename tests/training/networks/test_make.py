"""Every variant and baseline: sequence against ticks, restarts, gradients, export."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_training.artifacts.export import export_benchmark, export_policy
from snn_training.artifacts.file import ArtifactInfo, flight_like_observations
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import Network, make_network, numpy_stepper
from snn_training.networks.spiking import SpikingPolicy
from snn_training.runs.folder import load_actor
from support.finished_runs import save_network

VARIANTS: dict[str, dict[str, Any]] = {
    "published": {},
    "leaky": {"readout": "leaky"},
    "hard": {"reset": "hard"},
    "recurrent": {"recurrent": True},
    "recurrent-hard": {"recurrent": True, "reset": "hard"},
    "current": {"synapse": "current"},
    "all": {"synapse": "current", "recurrent": True, "reset": "hard", "readout": "leaky"},
    "no-memory": {"memory": False},
    "no-memory-all": {"memory": False, "synapse": "current", "recurrent": True, "readout": "leaky"},
    "fast": {"kernel": "auto"},
    "fast-hard-no-memory": {"kernel": "auto", "reset": "hard", "memory": False},
    "gru": {"kind": "gru"},
    "mlp": {"kind": "mlp"},
    "mlp-history": {"kind": "mlp_history"},
}
SPIKING = [name for name, options in VARIANTS.items() if "kind" not in options]


def _network(name: str, seed: int = 1, hidden: tuple[int, ...] = (32, 16)) -> Network:
    generator = torch.Generator().manual_seed(seed)
    return make_network(NetworkConfig(hidden=hidden, **VARIANTS[name]), generator=generator)


def _observations(ticks: int, batch: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(ticks, batch, 18, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_sequence_equals_ticks(name: str) -> None:
    network, observations = _network(name), _observations(50, 3)
    actions, last, spikes = network(observations, network.initial_states(3), 10.0)
    assert actions.shape == (50, 3, 4)
    assert actions.std() > 0.01
    step, states = network.stepper(), network.initial_states(3)
    for tick, observation in enumerate(observations):
        action, states, fired = step(observation, states)
        torch.testing.assert_close(actions[tick], action, rtol=0, atol=1e-4)
        assert all(torch.equal(x[tick], y) for x, y in zip(spikes, fired, strict=True))
    assert len(last) == len(states) == len(network.state_names)
    for one, other in zip(last, states, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SPIKING)
def test_spiking_variants_spike(name: str) -> None:
    network = _network(name)
    _, _, spikes = network(_observations(50, 3), network.initial_states(3), 10.0)
    assert all(0.01 < x.mean().item() < 0.9 for x in spikes)


@pytest.mark.parametrize("name", VARIANTS)
def test_restarts_equal_separate_sequences(name: str) -> None:
    network, observations = _network(name), _observations(40, 3)
    restarts = torch.zeros(40, 3, dtype=torch.bool)
    restarts[25] = True
    states = network.initial_states(3)
    whole, last, _ = network(observations, states, 10.0, restarts)
    first, _, _ = network(observations[:25], states, 10.0)
    second, other, _ = network(observations[25:], states, 10.0)
    torch.testing.assert_close(whole, torch.cat([first, second]), rtol=0, atol=1e-5)
    for one, two in zip(last, other, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_restart_touches_only_its_own_row(name: str) -> None:
    network, observations = _network(name), _observations(40, 2)
    restarts = torch.zeros(40, 2, dtype=torch.bool)
    restarts[20, 0] = True
    states = network.initial_states(2)
    plain, _, _ = network(observations, states, 10.0)
    masked, _, _ = network(observations, states, 10.0, restarts)
    torch.testing.assert_close(masked[:, 1], plain[:, 1], rtol=0, atol=1e-6)
    torch.testing.assert_close(masked[:20], plain[:20], rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name: str) -> None:
    network = _network(name, 5)
    actions, _, _ = network(_observations(60, 4, 6), network.initial_states(4), 10.0)
    (actions - 0.3).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        idle = "no-memory" in name and ("log_time" in key or "recurrent" in key)
        reset_only = idle and "synapse" not in key and "readout" not in key
        assert reset_only or parameter.grad.abs().max() > 0.0, key


@pytest.mark.parametrize("options", [{}, {"reset": "hard", "memory": False}])
def test_compiled_and_plain_recurrence_give_the_same_gradients(options: dict[str, Any]) -> None:
    gradients = []
    for kernel in ("torch", "auto"):
        network = make_network(
            NetworkConfig(hidden=(32, 16), kernel=kernel, **options),
            generator=torch.Generator().manual_seed(8),
        )
        actions, _, _ = network(_observations(40, 5), network.initial_states(5), 10.0)
        (actions - 0.3).square().mean().backward()
        gradients.append([x.grad for x in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


@pytest.mark.parametrize("name", ["no-memory", "no-memory-all", "fast-hard-no-memory", "mlp"])
def test_without_memory_the_past_does_not_matter(name: str) -> None:
    network, observations = _network(name), _observations(20, 3)
    changed = observations.clone()
    changed[:19] += 1.0
    states = network.initial_states(3)
    one, other = (network(x, states, 10.0)[0] for x in (observations, changed))
    torch.testing.assert_close(one[19], other[19], rtol=0, atol=1e-6)
    assert (one[:19] - other[:19]).abs().max() > 1e-3


@pytest.mark.parametrize("name", VARIANTS)
def test_numpy_stepper_flies_batches(name: str) -> None:
    network, observations = _network(name), _observations(30, 6)
    actions, _, _ = network(observations, network.initial_states(6), 10.0)
    step = numpy_stepper(network)
    states = tuple(x.numpy() for x in network.initial_states(6))
    for tick, observation in enumerate(observations.numpy()):
        action, states, _ = step(observation, states)
        assert action.dtype == np.float32
        np.testing.assert_allclose(action, actions[tick].detach(), atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_exports_and_flies_the_same(name: str, tmp_path: Path) -> None:
    network = _network(name, 3)
    export_policy(network, tmp_path / "policy.onnx", ArtifactInfo("crazyflie21"))
    policy = Policy.load(tmp_path / "policy.onnx", airframe="crazyflie21", control_rate=100.0)
    observations = flight_like_observations(300, np.random.default_rng(7))
    step, states = network.stepper(), network.initial_states()
    with torch.no_grad():
        for observation in observations:
            action, states, fired = step(torch.from_numpy(observation)[None], states)
            found = policy.step(observation)
            np.testing.assert_allclose(found, action[0], atol=1e-3)
    assert list(policy.spikes) == list(network.layer_names)
    assert policy.state_is_finite()
    for one, other in zip(policy.spikes.values(), fired, strict=True):
        assert np.array_equal(one, other[0].numpy() > 0)


def test_the_metadata_counts_recurrent_synapses_and_dense_products(tmp_path: Path) -> None:
    for name, fans, macs in (
        ("recurrent", [(18 + 32, 16 + 32), (32 + 16, 4 + 16)], 18 * 32),
        ("published", [(18, 16), (32, 4)], 18 * 32),
        ("mlp", [], 18 * 32 + 32 * 16 + 16 * 4),
        ("gru", [], 18 * 32 + 32 * 48 + 16 * 48 + 16 * 4),
        ("mlp-history", [], (18 + 128) * 32 + 32 * 16 + 16 * 4),
    ):
        path = tmp_path / f"{name}.onnx"
        export_policy(_network(name), path, ArtifactInfo("crazyflie21"))
        metadata = Policy.load(path).metadata
        assert [(x.fan_in, x.fan_out) for x in metadata.layers] == fans
        assert metadata.input_macs == macs


@pytest.mark.parametrize("name", VARIANTS)
def test_checkpoints_and_copies(name: str, tmp_path: Path) -> None:
    network = _network(name)
    save_network(tmp_path, network)
    loaded, _ = load_actor(tmp_path)
    copied = copy.deepcopy(network)  # target networks are copies
    observations, states = _observations(10, 2), network.initial_states(2)
    expected = network(observations, states, 10.0)[0]
    for other in (loaded, copied):
        assert torch.equal(other(observations, states, 10.0)[0], expected)


@pytest.mark.parametrize("name", SPIKING)
def test_another_rate_keeps_the_shape(name: str) -> None:
    network = _network(name)
    assert isinstance(network, SpikingPolicy)
    other = network.at_rate(200.0)
    slow, fast = network.policy_weights().layers[0], other.policy_weights().layers[0]
    torch.testing.assert_close(fast.neuron[0] ** 2, slow.neuron[0])
    for one, other in zip(fast.synapse, slow.synapse, strict=True):
        torch.testing.assert_close(one**2, other)


def test_baselines_have_no_other_rate(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="time constants"):
        export_benchmark(_network("gru"), tmp_path / "policy.onnx", 500.0, "crazyflie21")


def test_the_hard_reset_forgets_the_membrane() -> None:
    network = make_network(NetworkConfig(hidden=(1,), reset="hard"))
    layer = network.policy_weights().layers[0]  # type: ignore[union-attr]
    membrane = layer.neuron[1][None] + 1.0
    observation = torch.zeros(1, 1, 18)
    _, (after,), _ = network(observation, (membrane,), 5.0)
    torch.testing.assert_close(after, layer.bias[None])
