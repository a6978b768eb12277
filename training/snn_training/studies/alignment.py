"""How large surrogate gradients are, and how well they point where a reference does.

The published analysis: random inputs and labels, a deep LIF network with a few steps on the same
input, the gradient of each sample, its mean size and its cosine with a reference, layer by layer.
Layer 0 is the first hidden one, the last one the read-out.

Source: Van den Berghe et al., NeurIPS 2025, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_training.networks import SteppedNetwork

REFERENCE_SLOPE = 100.0  # what the paper takes for the truth


@dataclass(frozen=True)
class Problem:
    """The published regression of noise on noise."""

    inputs: int = 63
    width: int = 64  # neurons of each LIF layer
    outputs: int = 64
    samples: int = 256
    steps: int = 2

    def sizes(self, depth: int) -> tuple[int, ...]:
        """Return the sizes of a network with so many LIF layers."""
        return (self.inputs, *(self.width,) * depth, self.outputs)


Draw = tuple[SteppedNetwork, Tensor, Tensor]  # network, inputs, labels


def draw(problem: Problem, depth: int, seed: int) -> Draw:
    """Return a network, inputs (samples, inputs) and labels (samples, outputs) of a seed."""
    generator = torch.Generator().manual_seed(seed)
    network = SteppedNetwork(problem.sizes(depth), problem.steps, generator)
    inputs = torch.randn(problem.samples, problem.inputs, generator=generator)
    labels = torch.randn(problem.samples, problem.outputs, generator=generator)
    return network, inputs, labels


def sample_gradients(drawn: Draw, slope: float) -> list[Tensor]:
    """Return each sample's part (samples, outputs, inputs) in the gradient of each weight matrix.

    They sum to the gradient of the mean squared error of all samples and outputs.
    """
    network, inputs, labels = drawn
    fired, currents = network.spikes_and_currents(inputs, slope)
    outputs = network.layers[-1](fired[-1].sum(dim=0))
    loss = (outputs - labels).square().mean()
    *pulls, last = torch.autograd.grad(loss, [*currents, outputs])
    fired = [spikes.detach() for spikes in fired]
    first = torch.einsum("tno,ni->noi", pulls[0], inputs)
    hidden = [
        torch.einsum("tno,tni->noi", pull, spikes)
        for pull, spikes in zip(pulls[1:], fired[:-1], strict=True)
    ]
    return [first, *hidden, torch.einsum("no,ni->noi", last, fired[-1].sum(dim=0))]


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Return the cosines (n,) of rows of any shape (n, ...); 0 where one of them is zero."""
    one, other = one.flatten(1).double(), other.flatten(1).double()
    norms = one.norm(dim=1) * other.norm(dim=1)
    dots = (one * other).sum(dim=1)
    return torch.where(norms > 0.0, dots / norms.clamp(min=torch.finfo(torch.double).tiny), 0.0)


@dataclass(frozen=True)
class Alignment:
    """Mean size and cosine of a slope's gradients, each (layers,)."""

    sizes: list[float]
    cosines: list[float]
    positive_cosines: list[float]  # of what is left if all negative entries are set to zero


def compare(drawn: Draw, slopes: Sequence[float]) -> dict[float, Alignment]:
    """Return how the gradients of each slope compare with those of the reference slope.

    The published code drops all negative entries of gradients by an error; `positive_cosines` show
    what that does.
    """
    reference = sample_gradients(drawn, REFERENCE_SLOPE)
    found = {}
    for slope in slopes:
        gradients = sample_gradients(drawn, slope)
        pairs = list(zip(gradients, reference, strict=True))
        found[slope] = Alignment(
            [float(x.abs().mean()) for x in gradients],
            [float(cosine(x, y).mean()) for x, y in pairs],
            [float(cosine(x.clamp(min=0.0), y.clamp(min=0.0)).mean()) for x, y in pairs],
        )
    return found


def mean_alignment(runs: Sequence[Alignment]) -> Alignment:
    """Return the mean over runs."""
    columns = ([getattr(run, name) for run in runs] for name in Alignment.__dataclass_fields__)
    return Alignment(*(torch.tensor(x).double().mean(dim=0).tolist() for x in columns))


Loss = Callable[[Tensor], Tensor]  # points (m, d) -> losses (m,)


@torch.no_grad()
def smoothed_gradient(
    loss: Loss,
    point: Tensor,
    deviations: Tensor,
    *,
    pairs: int,
    generator: torch.Generator,
    chunk: int = 64,
) -> Tensor:
    """Return an unbiased estimate (d,) of the gradient of the smoothed loss.

    Args:
        loss: What to differentiate.
        point: Where (d,).
        deviations: Standard deviation of the noise on each coordinate (d,).
        pairs: Pairs of evaluations.
        generator: Source of randomness.
        chunk: Pairs to evaluate at once.
    """
    total = torch.zeros_like(point)
    for first in range(0, pairs, chunk):
        noise = torch.randn(min(chunk, pairs - first), len(point), generator=generator)
        steps = noise * deviations
        difference = loss(point + steps) - loss(point - steps)
        total += difference @ noise
    return total / (2.0 * pairs * deviations)


def weights_of(network: SteppedNetwork) -> Tensor:
    """Return all weight matrices as one point (d,)."""
    return torch.cat([x.flatten() for x in _matrices(network)])


def split_weights(network: SteppedNetwork, points: Tensor) -> list[Tensor]:
    """Return points (m, d) as stacks (m, outputs, inputs) of each weight matrix."""
    shapes = [x.shape for x in _matrices(network)]
    parts = points.split([x.numel() for x in shapes], dim=1)
    return [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def relative_deviations(network: SteppedNetwork, share: float) -> Tensor:
    """Return noise (d,) of a share of each matrix's own spread."""
    parts = [torch.full((x.numel(),), share * float(x.std())) for x in _matrices(network)]
    return torch.cat(parts)


def loss_of(drawn: Draw) -> Loss:
    """Return the mean squared error of networks that differ in their weights only."""
    network, inputs, labels = drawn
    biases = [x.detach() for x in network.layers.parameters() if x.dim() == 1]

    def loss(points: Tensor) -> Tensor:
        *hidden, last = split_weights(network, points)
        current = _apply(inputs.expand(len(points), -1, -1), hidden[0], biases[0])
        signals = [current] * network.steps
        for index, (beta, threshold) in enumerate(
            zip(network.betas, network.thresholds, strict=True)
        ):
            if index:
                signals = [_apply(x, hidden[index], biases[index]) for x in signals]
            signals = _fire(signals, beta.detach().clamp(0.0, 1.0), threshold.detach())
        outputs = _apply(torch.stack(signals).sum(dim=0), last, biases[-1])
        return (outputs - labels).square().mean(dim=(1, 2))

    return loss


def compare_with_smoothed(
    drawn: Draw, slopes: Sequence[float], share: float, *, pairs: int, seed: int
) -> tuple[dict[float, list[float]], list[float]]:
    """Return each slope's cosines (layers,) with the smoothed gradient, and its own with itself.

    Each slope's gradient is compared with the mean of two independent estimates; the last list
    holds the cosine of these two.
    """
    network = drawn[0]
    generator = torch.Generator().manual_seed(seed)
    spread, point = relative_deviations(network, share), weights_of(network)
    estimates = [
        smoothed_gradient(loss_of(drawn), point, spread, pairs=pairs, generator=generator)
        for _ in range(2)
    ]
    one, two = (split_weights(network, x[None]) for x in estimates)
    both = [x + y for x, y in zip(one, two, strict=True)]
    found = {
        slope: _cosines([x.sum(0) for x in sample_gradients(drawn, slope)], both)
        for slope in slopes
    }
    return found, [float(cosine(x, y)) for x, y in zip(one, two, strict=True)]


def reliability(repeat: float) -> float:
    """Return the cosine of the mean of two estimates with what they estimate.

    By the cosine `repeat` of the two: for estimates with noise of size n^2 beside a gradient of
    size 1 it is 1 / (1 + n^2), and the mean of both has half the noise.
    """
    return math.sqrt(2.0 * repeat / (1.0 + repeat)) if repeat > 0.0 else 0.0


def _cosines(gradients: Sequence[Tensor], references: Sequence[Tensor]) -> list[float]:
    pairs = zip(gradients, references, strict=True)
    return [float(cosine(x[None], y.reshape(1, *x.shape))) for x, y in pairs]


def _matrices(network: SteppedNetwork) -> list[Tensor]:
    return [x.detach() for x in network.layers.parameters() if x.dim() == 2]


def _apply(signal: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """Return signals (m, n, inputs) through a layer of each network (m, outputs, inputs)."""
    return torch.baddbmm(bias, signal, weights.transpose(1, 2))


def _fire(currents: Sequence[Tensor], beta: Tensor, threshold: Tensor) -> list[Tensor]:
    """Return the spikes of a layer from rest, step by step, as `lif.lif_step` has them."""
    membrane, spikes = torch.zeros_like(currents[0]), []
    for current in currents:
        membrane = beta * membrane + current - (membrane > threshold) * threshold
        spikes.append((membrane > threshold).to(current.dtype))
    return spikes
