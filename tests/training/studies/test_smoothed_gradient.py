"""The reference without a surrogate: against analytic gradients, and its own noise."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from snn_training.studies.alignment import (
    Problem,
    compare_with_smoothed,
    cosine,
    draw,
    loss_of,
    relative_deviations,
    reliability,
    smoothed_gradient,
    split_weights,
    weights_of,
)

SMALL = Problem(inputs=4, width=6, outputs=3, samples=30)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_smooth_function_has_its_analytic_gradient() -> None:
    """Of x.Ax + b.x, whose smoothed gradient is its own: 2 A x + b."""
    size = 6
    matrix = torch.randn(size, size, generator=generator())
    matrix = matrix + matrix.T
    bias, point = torch.randn(size, generator=generator(1)), torch.linspace(-1.0, 1.0, size)

    def loss(points: Tensor) -> Tensor:
        return ((points @ matrix) * points).sum(1) + points @ bias

    deviations = torch.linspace(0.1, 0.5, size)
    estimate = smoothed_gradient(
        loss, point, deviations, pairs=40_000, generator=generator(2), chunk=1000
    )
    wanted = 2.0 * matrix @ point + bias
    assert torch.linalg.norm(estimate - wanted) < 0.08 * torch.linalg.norm(wanted)


def test_a_step_has_the_gradient_of_the_normal_distribution() -> None:
    """E[x + s e > t] is Phi((x - t) / s): smooth, though no step has a gradient."""
    deviation, distance = 0.3, 0.2

    def loss(points: Tensor) -> Tensor:
        return (points[:, 0] > 1.0).float()

    estimate = smoothed_gradient(
        loss,
        torch.tensor([1.0 + distance]),
        torch.tensor([deviation]),
        pairs=40_000,
        generator=generator(),
        chunk=10_000,
    )
    density = math.exp(-0.5 * (distance / deviation) ** 2) / math.sqrt(2.0 * math.pi) / deviation
    assert float(estimate) == pytest.approx(density, rel=0.03)


@pytest.mark.parametrize("depth", [1, 3])
def test_the_loss_of_many_networks_is_that_of_each(depth: int) -> None:
    network, inputs, labels = drawn = draw(SMALL, depth, seed=2)
    point = weights_of(network)
    points = torch.stack([point, 2.0 * point])
    losses = loss_of(drawn)(points)
    for factor, found in zip((1.0, 2.0), losses, strict=True):
        with torch.no_grad():
            for matrix in (x for x in network.layers.parameters() if x.dim() == 2):
                matrix.mul_(factor)
            wanted = (network(inputs) - labels).square().mean()
        assert float(found) == pytest.approx(float(wanted), rel=1e-5)


def test_points_split_into_the_matrices() -> None:
    network = draw(SMALL, 2, seed=0)[0]
    matrices = [x for x in network.layers.parameters() if x.dim() == 2]
    parts = split_weights(network, weights_of(network)[None])
    assert all(torch.equal(x[0], y) for x, y in zip(parts, matrices, strict=True))
    spread = split_weights(network, relative_deviations(network, 0.1)[None])
    assert [float(x.max()) for x in spread] == pytest.approx(
        [0.1 * float(x.std()) for x in matrices]
    )


def test_the_read_outs_exact_gradient_agrees_with_the_smoothed_one() -> None:
    """The loss is smooth in the read-out's weights, so there the surrogate plays no part."""
    found, repeats = compare_with_smoothed(draw(SMALL, 1, seed=5), [10.0], 0.1, pairs=4000, seed=0)
    assert found[10.0][-1] > 0.97
    assert repeats[-1] > 0.9


def test_two_estimates_tell_how_good_their_mean_is() -> None:
    size, noise = 20_000, 1.7
    truth = torch.randn(size, generator=generator(1))
    one, two = (truth + noise * torch.randn(size, generator=generator(x)) for x in (2, 3))
    repeat = float(cosine(one[None], two[None]))
    wanted = float(cosine((one + two)[None], truth[None]))
    assert reliability(repeat) == pytest.approx(wanted, abs=0.01)
    assert (reliability(1.0), reliability(-0.2)) == (1.0, 0.0)
