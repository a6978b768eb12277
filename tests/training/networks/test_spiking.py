"""The LIF network: published equation, shapes, time constants, sequence against ticks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import numpy_stepper
from snn_training.networks.spiking import SpikingPolicy


def _policy(seed: int = 0, **options: object) -> SpikingPolicy:
    return SpikingPolicy(
        NetworkConfig(**options),  # type: ignore[arg-type]
        generator=torch.Generator().manual_seed(seed),
    )


def test_size_is_that_of_the_published_network() -> None:
    policy = _policy(readout="spikes")
    weights = policy.policy_weights()
    sizes = [layer.weight.numel() for layer in weights.layers] + [weights.readout_weight.numel()]
    assert sum(sizes) == 37_888
    biases = sum(x.numel() for x in policy.biases) + policy.readout_bias.numel()
    neurons = sum(x.numel() for x in (*policy.log_time_constants, *policy.raw_thresholds))
    assert (biases, neurons) == (388, 768)


def test_time_constants_cover_10_to_300_ms() -> None:
    for values in _policy().log_time_constants:
        seconds = values.exp()
        assert 0.010 <= seconds.min() < 0.015
        assert 0.200 < seconds.max() <= 0.300


@settings(max_examples=30, deadline=None)
@given(st.floats(-50.0, 50.0), st.floats(1.0, 1000.0))
def test_decay_and_threshold_stay_in_range_whatever_training_does(raw: float, rate: float) -> None:
    policy = _policy(hidden=(4, 3), control_rate=rate)
    with torch.no_grad():
        for value in (*policy.log_time_constants, *policy.raw_thresholds):
            value.fill_(raw)
    for layer in policy.policy_weights().layers:
        beta, threshold = layer.neuron
        assert (beta >= 0.0).all()
        assert (beta <= 1.0).all()
        assert (threshold > 0.0).all()


@pytest.mark.parametrize("readout", ["spikes", "leaky"])
def test_sequence_equals_ticks(readout: str) -> None:
    policy = _policy(1, readout=readout, hidden=(32, 16))
    observations = torch.randn(50, 3, 18, generator=torch.Generator().manual_seed(2))
    actions, last, spikes = policy(observations, policy.initial_states(3), 10.0)
    states, weights = policy.initial_states(3), policy.policy_weights()
    for tick, observation in enumerate(observations):
        action, states, fired = policy.tick(weights, observation, states)
        torch.testing.assert_close(actions[tick], action, rtol=0, atol=1e-4)
        assert (spikes[1][tick] != fired[1]).sum() == 0
    for one, other in zip(last, states, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_carried_state_joins_two_halves_of_a_sequence() -> None:
    policy = _policy(3, hidden=(32, 16))
    observations = torch.randn(40, 2, 18, generator=torch.Generator().manual_seed(4))
    whole, _, _ = policy(observations, policy.initial_states(2), 10.0)
    first, middle, _ = policy(observations[:20], policy.initial_states(2), 10.0)
    second, _, _ = policy(observations[20:], middle, 10.0)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=1e-5)


def test_every_parameter_learns() -> None:
    policy = _policy(5)
    observations = torch.randn(60, 4, 18, generator=torch.Generator().manual_seed(6))
    actions, _, _ = policy(observations, policy.initial_states(4), 10.0)
    (actions - 0.3).square().mean().backward()
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0.0, name
        assert torch.isfinite(parameter.grad).all(), name


def test_another_rate_keeps_time_constants_and_levels() -> None:
    policy = _policy(7, hidden=(8, 4))
    other = policy.at_rate(500.0)
    slow, fast = policy.policy_weights().layers[0], other.policy_weights().layers[0]
    torch.testing.assert_close(fast.neuron[0] ** 5, slow.neuron[0])
    levels = (x.weight / (1.0 - x.neuron[0]) for x in (fast, slow))
    torch.testing.assert_close(*levels, rtol=1e-4, atol=1e-5)
    assert other.config.control_rate == 500.0


def test_numpy_reference_runs_batches() -> None:
    policy = _policy(8, readout="leaky")
    states = tuple(x.numpy() for x in policy.initial_states(6))
    action, states, spikes = numpy_stepper(policy)(np.ones((6, 18), np.float32), states)
    assert action.shape == (6, 4)
    assert action.dtype == np.float32
    assert [x.shape for x in states] == [(6, 256), (6, 128), (6, 4)]
    assert [x.shape for x in spikes] == [(6, 256), (6, 128)]
