"""The alignment part of the slope study: runs it, keeps its numbers, writes table and figure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from snn_controller.errors import UserError
from snn_controller.system import write_atomically
from snn_training.studies.alignment import (
    Problem,
    compare,
    compare_with_smoothed,
    draw,
    mean_alignment,
    reliability,
)
from snn_training.studies.results import rounded

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


def stored_alignment(path: Path, config: AlignmentConfig) -> dict[str, Any] | None:
    """Return the numbers in a file, None where it lacks any of them.

    Raises:
        UserError: The file holds those of another configuration, or is damaged.
    """
    found = _read(path, config)
    return found if _parts(config).keys() <= found.keys() else None


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
    yield _row(["k", "", "mean size, layer 0", *(f"cosine, layer {x}" for x in range(4))])
    yield _row(["---"] * 7)
    for slope in SLOPES:
        if slope in PUBLISHED:
            size, cosines = PUBLISHED[slope]
            yield _row([f"{slope:g}", "paper", f"{size:.1e}", *(f"{x:.3g}" for x in cosines)])
        if (ours := part.get(f"{slope:g}")) is not None:
            numbers = (f"{x:.2f}" for x in ours["cosines"][:PUBLISHED_DEPTH])
            yield _row([f"{slope:g}", "ours", f"{ours['sizes'][0]:.1e}", *numbers])


def _cosine_table(part: Mapping[str, Any], more: Sequence[str] = ()) -> Iterable[str]:
    layers = len(next(iter(part.values()))["cosines"])
    yield _row(["k", *(f"layer {x}" for x in range(layers))])
    yield _row(["---"] * (layers + 1))
    for slope, numbers in part.items():
        yield _row([slope, *(f"{x:.2f}" for x in numbers["cosines"])])
    yield from more


def _noise_rows(part: Mapping[str, Any]) -> list[str]:
    titles = {"repeat": "two estimates with each other", "reliability": "their mean with the truth"}
    return [_row([title, *(f"{x:.2f}" for x in part[key])]) for key, title in titles.items()]


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


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
