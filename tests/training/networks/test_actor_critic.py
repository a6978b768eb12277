"""The network that answers within a few steps: against NumPy, from rest, with its gradients."""

from __future__ import annotations

import numpy as np
import torch

from snn_training.networks.actor_critic import INPUT_SCALE, SpikingGuideActor, SteppedNetwork


def make_network(sizes: tuple[int, ...] = (5, 7, 6, 3), steps: int = 4) -> SteppedNetwork:
    return SteppedNetwork(sizes, steps, torch.Generator().manual_seed(0))


def some_inputs(count: int = 9, size: int = 5) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(1))


def by_hand(network: SteppedNetwork, inputs: np.ndarray) -> np.ndarray:
    """Return the outputs by loops over steps and layers in NumPy."""
    arrays = [x.detach().numpy() for x in network.layers.parameters()]
    weights = list(zip(arrays[::2], arrays[1::2], strict=True))
    pairs = zip(network.betas, network.thresholds, strict=True)
    neurons = [(b.detach().numpy(), t.detach().numpy()) for b, t in pairs]
    membranes = [np.zeros((len(inputs), len(beta)), np.float32) for beta, _ in neurons]
    total = 0.0
    for _ in range(network.steps):
        signal = inputs
        for index, (beta, threshold) in enumerate(neurons):
            current = signal @ weights[index][0].T + weights[index][1]
            reset = (membranes[index] > threshold) * threshold
            membranes[index] = beta * membranes[index] + current - reset
            signal = (membranes[index] > threshold).astype(np.float32)
        total = total + signal
    return total @ weights[-1][0].T + weights[-1][1]


def test_the_network_does_what_its_equations_say() -> None:
    network, inputs = make_network(), some_inputs()
    expected = by_hand(network, inputs.numpy())
    np.testing.assert_allclose(network(inputs).detach().numpy(), expected, atol=1e-5)
    assert len({round(float(x), 4) for x in expected[:, 0]}) > 2  # it does answer to its inputs


def test_nothing_is_remembered_and_the_slope_changes_gradients_only() -> None:
    network, inputs = make_network(), some_inputs()
    gradients = []
    for slope in (1.0, 100.0):
        outputs = network(inputs, slope)
        assert torch.equal(outputs, network(inputs, 10.0))
        outputs.sum().backward()
        first = next(network.parameters()).grad
        assert first is not None
        gradients.append(float(first.abs().sum()))
        network.zero_grad()
    assert gradients[0] > gradients[1] > 0.0


def test_the_margin_is_the_nearest_membrane() -> None:
    network = make_network(sizes=(1, 1, 1), steps=1)
    with torch.no_grad():
        weight, bias, *_ = network.layers.parameters()
        weight.fill_(2.0)
        bias.fill_(0.5)
        network.thresholds[0].fill_(0.3)
    assert abs(network.margin(torch.tensor([[1.0]])) - 2.2) < 1e-6


def test_actions_are_bounded_small_at_first_and_the_inputs_scaled() -> None:
    actor = SpikingGuideActor((16, 8), 4, torch.Generator().manual_seed(0))
    inputs = some_inputs(50, 146)
    actions = actor(inputs)
    assert actions.shape == (50, 4)
    assert actions.abs().max() < 0.7
    plain = SteppedNetwork.forward(actor, inputs * torch.tensor(INPUT_SCALE))
    assert torch.equal(actions, torch.tanh(plain))
