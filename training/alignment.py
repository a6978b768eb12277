"""How large surrogate gradients are, and how well they point where a reference does.

The published analysis: random inputs and labels, a deep LIF network with a few steps on the same
input, the gradient of each sample, its mean size and its cosine with a reference, layer by layer.
Layer 0 is the first hidden one, the last one the read-out.

Source: Van den Berghe et al., NeurIPS 2025, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.stepped_network import SteppedNetwork

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
