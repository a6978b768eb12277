"""Surrogate gradient and the fast LIF layer against plain autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_training.neurons.lif import LayerWeights, lif_step
from snn_training.neurons.surrogate import (
    LIFSequence,
    SurrogateSpike,
    heaviside,
    surrogate_gradient,
)


@pytest.mark.parametrize("slope", [1.0, 10.0, 100.0])
def test_backward_is_the_fast_sigmoid_slope(slope: float) -> None:
    membrane = torch.linspace(-1.0, 2.0, 31, requires_grad=True)
    threshold = torch.tensor(0.5)
    SurrogateSpike.apply(membrane, threshold, slope).sum().backward()
    distance = np.abs(membrane.detach().numpy() - 0.5)
    np.testing.assert_allclose(membrane.grad, 1.0 / (1.0 + slope * distance) ** 2, rtol=1e-5)


def test_peak_is_one_for_every_slope() -> None:
    for slope in (1.0, 25.0, 100.0):
        assert surrogate_gradient(torch.zeros(1), slope).item() == 1.0


def test_forward_is_the_step_for_every_slope() -> None:
    membrane, threshold = torch.tensor([0.4, 0.5, 0.6]), torch.tensor(0.5)
    for slope in (1.0, 100.0):
        assert SurrogateSpike.apply(membrane, threshold, slope).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("slope", [0.5, 101.0, float("nan")])
def test_slopes_outside_the_range_are_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="slope"):
        SurrogateSpike.apply(torch.zeros(1), torch.zeros(1), slope)


def _plain(current, membrane, beta, threshold, slope):
    spikes = []
    layer = LayerWeights(None, None, beta, threshold)
    for now in current.unbind():
        spike, membrane = lif_step(
            now, membrane, layer, lambda u, t: SurrogateSpike.apply(u, t, slope)
        )
        spikes.append(spike)
    return torch.stack(spikes), membrane


def test_fast_layer_equals_autograd_through_the_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    arguments = [
        torch.randn(40, 5, 7, generator=generator, dtype=torch.float64),
        torch.rand(5, 7, generator=generator, dtype=torch.float64),
        0.5 + 0.5 * torch.rand(7, generator=generator, dtype=torch.float64),
        0.2 + torch.rand(7, generator=generator, dtype=torch.float64),
    ]
    weight = torch.randn(40, 5, 7, generator=generator, dtype=torch.float64)
    results = []
    for layer in (LIFSequence.apply, _plain):
        leaves = [value.clone().requires_grad_() for value in arguments]
        spikes, last = layer(*leaves, 5.0)
        ((spikes * weight).sum() + last.square().sum()).backward()
        results.append((spikes, last, *(leaf.grad for leaf in leaves)))
    assert results[0][0].sum() > 100  # the layer is alive
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-9)


def test_no_gradient_flows_through_the_reset() -> None:
    membrane = torch.tensor([[1.0]], requires_grad=True)  # above the threshold: resets next tick
    threshold, beta = torch.tensor([0.5]), torch.tensor([0.9])
    _, last = LIFSequence.apply(torch.zeros(1, 1, 1), membrane, beta, threshold, 10.0)
    last.sum().backward()
    assert last.item() == pytest.approx(0.9 * 1.0 - 0.5)
    assert membrane.grad is not None
    assert membrane.grad.item() == pytest.approx(0.9)


def test_heaviside_is_strict() -> None:
    assert heaviside(torch.tensor([0.5]), torch.tensor([0.5])).item() == 0.0
