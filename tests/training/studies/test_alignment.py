"""Alignment of surrogate gradients, against gradients worked out by hand and by autograd."""

from __future__ import annotations

import pytest
import torch

from snn_training.networks.actor_critic import SteppedNetwork
from snn_training.studies.alignment import (
    REFERENCE_SLOPE,
    Alignment,
    Problem,
    compare,
    cosine,
    draw,
    mean_alignment,
    sample_gradients,
)

SMALL = Problem(inputs=5, width=8, outputs=3, samples=40)


@pytest.mark.parametrize("slope", [1.0, 4.0, 100.0])
def test_one_neuron_has_the_gradient_that_its_equations_say(slope: float) -> None:
    network = SteppedNetwork((1, 1, 1), 1, torch.Generator().manual_seed(0))
    for parameter, value in zip(network.layers.parameters(), (2.0, 0.1, 3.0, -0.5), strict=True):
        parameter.data.fill_(value)
    network.thresholds[0].data.fill_(0.8)
    drawn = network, torch.tensor([[0.7]]), torch.tensor([[1.0]])
    membrane, output = 2.0 * 0.7 + 0.1, 3.0 * 1.0 - 0.5  # it spikes
    pull = 2.0 * (output - 1.0)
    hidden, last = sample_gradients(drawn, slope)
    expected = pull * 3.0 / (1.0 + slope * (membrane - 0.8)) ** 2 * 0.7
    assert float(hidden) == pytest.approx(expected, rel=1e-5)
    assert float(last) == pytest.approx(pull * 1.0)


@pytest.mark.parametrize("depth", [1, 3])
def test_the_parts_of_all_samples_sum_to_the_gradient(depth: int) -> None:
    network, inputs, labels = drawn = draw(SMALL, depth, seed=3)
    loss = (network(inputs, 5.0) - labels).square().mean()
    weights = [x for x in network.layers.parameters() if x.dim() == 2]
    wanted = torch.autograd.grad(loss, weights)
    found = sample_gradients(drawn, 5.0)
    assert len(found) == depth + 1
    for part, whole in zip(found, wanted, strict=True):
        assert part.shape == (40, *whole.shape)
        torch.testing.assert_close(part.sum(0), whole)


def test_the_reference_is_aligned_with_itself_and_shallow_slopes_are_larger() -> None:
    drawn = draw(SMALL, 2, seed=0)
    found = compare(drawn, [1.0, 10.0, REFERENCE_SLOPE])
    there = [x.flatten(1).abs().sum(1) > 0.0 for x in sample_gradients(drawn, REFERENCE_SLOPE)]
    shares = [float(x.double().mean()) for x in there]  # cosines count as 0 without a gradient
    assert found[REFERENCE_SLOPE].cosines == pytest.approx(shares)
    assert found[1.0].sizes[0] > found[10.0].sizes[0] > found[REFERENCE_SLOPE].sizes[0] > 0.0
    assert found[1.0].cosines[0] < found[10.0].cosines[0] < shares[0]


def test_the_read_out_does_not_see_the_slope() -> None:
    found = compare(draw(SMALL, 2, seed=1), [1.0, 50.0])
    assert found[1.0].sizes[-1] == found[50.0].sizes[-1]
    assert found[1.0].cosines[-1] == found[50.0].cosines[-1]


def test_cosine_of_rows_and_of_nothing() -> None:
    one = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 0.0]], [[1e-30, 0.0]]])
    other = torch.tensor([[[-2.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]], [[1e-25, 0.0]]])
    assert cosine(one, other).tolist() == pytest.approx([-1.0, 0.5**0.5, 0.0, 1.0])


def test_means_are_over_runs() -> None:
    runs = [
        Alignment([1.0, 3.0], [0.0, 1.0], [0.5, 0.5]),
        Alignment([3.0, 5.0], [1.0, 1.0], [1, 0]),
    ]
    mean = mean_alignment(runs)
    assert (mean.sizes, mean.cosines) == ([2.0, 4.0], [0.5, 1.0])
    assert mean.positive_cosines == [0.75, 0.25]
