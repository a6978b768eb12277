"""The LIF neuron: published equation, and its fast sequence against plain autograd."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from snn_training.neurons.cell import loop_steps
from snn_training.neurons.lif import LIF, LIFSequence
from snn_training.neurons.registry import NEURONS, NeuronName

SOFT = LIF(hard=False)


def test_one_neuron_follows_the_published_equation() -> None:
    states, seen = (np.zeros(1, np.float32),), []
    for _ in range(4):
        spikes, states = SOFT.step(
            *(np.float32(0.8), states, (np.float32(0.5), np.float32(1.0))),
            lambda u, t: (u > t).astype(np.float32),
        )
        seen.append((float(states[0][0]), float(spikes[0])))
    # 0.8 | 1.2 spikes | 0.6 + 0.8 - 1.0 = 0.4: the reset comes one tick late | 1.0, not above 1
    assert seen == [
        (pytest.approx(0.8), 0.0),
        (pytest.approx(1.2), 1.0),
        (pytest.approx(0.4), 0.0),
        (pytest.approx(1.0), 0.0),
    ]


def test_every_registered_neuron_has_its_name_in_the_options() -> None:
    assert get_args(NeuronName) == tuple(NEURONS)


def _plain(current, membrane, beta, threshold, slope):
    spikes, (last,) = loop_steps(SOFT, current, (membrane,), (beta, threshold), slope)
    return spikes, last


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
