"""How large surrogate gradients are, and how well they point where a reference does.

The published analysis: random inputs and labels, a deep LIF network with a few steps on the same
input, the gradient of each sample, its mean size and its cosine with a reference, layer by layer.
Layer 0 is the first hidden one, the last one the read-out.

Source: Van den Berghe et al., NeurIPS 2025, section 3.3.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snn_controller.errors import UserError
from snn_controller.system import write_atomically
from snn_training.networks import SteppedNetwork
from snn_training.studies.results import markdown_row, rounded

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


SLOPES = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0)
# Read from the paper's figure by eye: slope -> mean size at layer 0, cosines at layers 0 to 3.
PUBLISHED = {
    1.0: (3.8e-6, (0.03, 0.06, 0.21, 0.47)),
    25.0: (1.7e-8, (0.37, 0.48, 0.64, 0.81)),
    50.0: (1.4e-9, (0.70, 0.79, 0.85, 0.93)),
    75.0: (2e-10, (0.90, 0.94, 0.96, 0.985)),
    100.0: (2.7e-11, (1.0, 1.0, 1.0, 1.0)),
}
PUBLISHED_DEPTH = 4


@dataclass(frozen=True)
class AlignmentConfig:
    """What is drawn and compared."""

    problem: Problem = field(default_factory=Problem)
    runs: int = 40
    """Networks, inputs and labels that the comparison with k = 100 is the mean of."""
    depths: tuple[int, ...] = (1, 2, 4, 8)
    """LIF layers; the paper has four."""
    small: Problem = field(default_factory=lambda: Problem(inputs=16, width=16, outputs=8))
    """The smaller problem of the comparison with the smoothed loss."""
    small_runs: int = 8
    small_depths: tuple[int, ...] = (1, 4)
    shares: tuple[float, ...] = (0.1, 0.3)
    """Noise on the weights that smooths the loss, as a share of each matrix's own spread."""
    pairs: int = 8_000
    """Antithetic pairs of each of the two estimates."""


def update_alignment(path: Path, config: AlignmentConfig) -> dict[str, Any]:
    """Return the numbers in a file, measured now where the file lacks any of them.

    Raises:
        UserError: The file holds those of another configuration, or is damaged.
    """
    found = _read(path, config)
    missing = {name: part for name, part in _parts(config).items() if name not in found}
    for name, (function, *arguments) in tqdm(missing.items(), desc="alignment", unit="part"):
        found[name] = rounded(function(config, *arguments))
        write_atomically(path, _format(found).encode())
    return found


def _parts(config: AlignmentConfig) -> dict[str, tuple[Any, ...]]:
    """Return name -> function and its arguments after the configuration."""
    parts: dict[str, tuple[Any, ...]] = {
        f"reference-{depth}": (_with_reference, depth) for depth in config.depths
    }
    for depth in config.small_depths:
        for share in config.shares:
            parts[f"smoothed-{depth}-{share}"] = (_with_smoothed, depth, share)
    return parts


def format_alignment(found: Mapping[str, Any], picture: str) -> str:
    """Return the numbers as Markdown."""
    config = found["config"]
    lines = ["# How surrogate gradients align", "", _story(config), ""]
    lines += ["## Beside the paper", "", *_published_table(found), ""]
    for depth in config["depths"]:
        part = found[f"reference-{depth}"]
        lines += [f"## Cosine with k = 100, {_layers(depth)}", ""]
        lines += [*_cosine_table(part), ""]
    for depth in config["small_depths"]:
        for share in config["shares"]:
            part = found[f"smoothed-{depth}-{share}"]
            lines += [f"## Cosine with the smoothed loss, {_layers(depth)}, noise {share:g}", ""]
            lines += [*_cosine_table(part["slopes"], _noise_rows(part)), ""]
    return "\n".join([*lines, f"![gradient size and alignment]({picture})", ""])


def _with_reference(config: AlignmentConfig, depth: int) -> dict[str, Any]:
    """Return slope -> mean alignment over runs, as JSON."""
    runs = [compare(draw(config.problem, depth, seed), SLOPES) for seed in range(config.runs)]
    means = {slope: mean_alignment([run[slope] for run in runs]) for slope in SLOPES}
    return {f"{slope:g}": asdict(alignment) for slope, alignment in means.items()}


def _with_smoothed(config: AlignmentConfig, depth: int, share: float) -> dict[str, Any]:
    """Return mean cosines of slopes, and of the reference with itself, as JSON."""
    runs = [
        compare_with_smoothed(
            draw(config.small, depth, seed), SLOPES, share, pairs=config.pairs, seed=10_000 + seed
        )
        for seed in range(config.small_runs)
    ]
    repeats = np.array([repeats for _, repeats in runs])
    means = {
        f"{slope:g}": {"cosines": np.mean([x[slope] for x, _ in runs], axis=0).tolist()}
        for slope in SLOPES
    }
    quality = np.vectorize(reliability)(repeats)
    return {
        "slopes": means,
        "repeat": repeats.mean(axis=0).tolist(),
        "reliability": quality.mean(axis=0).tolist(),
    }


def _published_table(found: Mapping[str, Any]) -> Iterable[str]:
    part = found.get(f"reference-{PUBLISHED_DEPTH}", {})
    yield markdown_row(["k", "", "mean size, layer 0", *(f"cosine, layer {x}" for x in range(4))])
    yield markdown_row(["---"] * 7)
    for slope in SLOPES:
        if slope in PUBLISHED:
            size, cosines = PUBLISHED[slope]
            yield markdown_row(
                [f"{slope:g}", "paper", f"{size:.1e}", *(f"{x:.3g}" for x in cosines)]
            )
        if (ours := part.get(f"{slope:g}")) is not None:
            numbers = (f"{x:.2f}" for x in ours["cosines"][:PUBLISHED_DEPTH])
            yield markdown_row([f"{slope:g}", "ours", f"{ours['sizes'][0]:.1e}", *numbers])


def _cosine_table(part: Mapping[str, Any], more: Sequence[str] = ()) -> Iterable[str]:
    layers = len(next(iter(part.values()))["cosines"])
    yield markdown_row(["k", *(f"layer {x}" for x in range(layers))])
    yield markdown_row(["---"] * (layers + 1))
    for slope, numbers in part.items():
        yield markdown_row([slope, *(f"{x:.2f}" for x in numbers["cosines"])])
    yield from more


def _noise_rows(part: Mapping[str, Any]) -> list[str]:
    titles = {"repeat": "two estimates with each other", "reliability": "their mean with the truth"}
    return [
        markdown_row([title, *(f"{x:.2f}" for x in part[key])]) for key, title in titles.items()
    ]


def _story(config: Mapping[str, Any]) -> str:
    problem, small = config["problem"], config["small"]
    return (
        "`python training/slope_study.py`. Random inputs and labels, "
        f"{problem['inputs']}-{problem['width']}-...-{problem['outputs']} networks of LIF layers "
        f"with {problem['steps']} steps, {problem['samples']} samples, mean of {config['runs']} "
        "draws; cosines are of each sample's gradient, a mean over samples, 0 where one of both "
        "gradients is zero. Layer 0 is the first hidden one, the last the read-out. The smoothed "
        f"loss: {small['inputs']}-{small['width']}-...-{small['outputs']}, gradients of all "
        f"{small['samples']} samples together, mean of {config['small_runs']} draws, noise as a "
        f"share of each matrix's own spread, two estimates of {config['pairs']} antithetic pairs."
    )


def _layers(depth: int) -> str:
    return "1 LIF layer" if depth == 1 else f"{depth} LIF layers"


def _read(path: Path, config: AlignmentConfig) -> dict[str, Any]:
    wanted = json.loads(json.dumps(asdict(config)))
    try:
        found = json.loads(path.read_text())
        same = found["config"] == wanted
    except FileNotFoundError:
        return {"config": wanted, "torch": torch.__version__}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to measure anew") from error
    if not same:
        raise UserError(f"{path} was made with other settings; move it away to measure anew")
    return found


def _format(found: Mapping[str, Any]) -> str:
    """Return JSON with one part a line."""
    lines = (f" {json.dumps(key)}: {json.dumps(part)}" for key, part in found.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"
