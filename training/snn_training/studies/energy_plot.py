"""Return against energy of every policy that has been scored: the table and the picture.

It reads the scores of docs/results/policies and the results of studies, and flies nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snn_controller.errors import UserError
from snn_controller.policy import (
    CMOS_ADDITION,
    CMOS_MAC,
    LOIHI_NEURON_UPDATE,
    LOIHI_SYNAPTIC_OP,
    TARGETS,
    NetworkSize,
)
from snn_controller.report.plots import INK, head, note, write_picture
from snn_controller.system import write_atomically
from snn_training.studies.catalogue import find_study
from snn_training.studies.results import Spread, markdown_row, spread
from snn_training.studies.table import finished, load_results, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


TARGET_NAMES = {"loihi": "Loihi", "cmos_45nm": "45 nm", "cortex_m7": "Cortex-M7"}
Scores = Mapping[str, Any]  # of one cell of the fixed test: name -> {"mean", "low", "high"}


@dataclass(frozen=True)
class Point:
    """A policy, or the runs of a study's setting, by the mean over runs."""

    label: str
    group: str  # what it belongs to: the policies, or a study
    returns: Spread
    length: float  # steps of a flight
    synaptic_ops: float  # a tick
    size: NetworkSize

    @property
    def energies(self) -> dict[str, float]:
        """Target -> nJ a decision."""
        return {name: target(self.synaptic_ops, self.size) for name, target in TARGETS.items()}


def network_size_of(scores: Scores) -> NetworkSize:
    """Return the size of the network behind scores, whose energies tell it.

    Raises:
        ValueError: They are those of the guide, which is no network.
    """
    operations, loihi, cmos = (
        scores[name]["mean"] for name in ("synaptic_ops", "energy_nj", "energy_45nm_nj")
    )
    if loihi is None or cmos is None:
        raise ValueError("there is no network behind these scores")
    macs = (1e3 * cmos - operations * CMOS_ADDITION) / CMOS_MAC
    neurons = (1e3 * loihi - operations * LOIHI_SYNAPTIC_OP - macs * CMOS_MAC) / LOIHI_NEURON_UPDATE
    return NetworkSize(round(neurons), round(macs))


def point_of(label: str, group: str, cells: Sequence[Scores]) -> Point | None:
    """Return the point of some runs by their scores in a cell, None where no network flew."""
    if not cells or cells[0]["energy_nj"]["mean"] is None:
        return None
    returns = spread(cell["return_end"]["mean"] for cell in cells)
    operations, length = (
        spread(cell[name]["mean"] for cell in cells) for name in ("synaptic_ops", "length")
    )
    if returns is None or operations is None or length is None:
        return None
    return Point(label, group, returns, length.mean, operations.mean, network_size_of(cells[0]))


def format_points(points: Iterable[Point]) -> str:
    """Return the points as a Markdown table, group by group, best return first."""
    targets = [
        f"{TARGET_NAMES[name]}, {unit}" for unit in ("nJ", "uJ a flight") for name in TARGETS
    ]
    titles = ["policy", "runs", "return", "synaptic ops", "MACs", "spiking neurons", *targets]
    lines = [markdown_row(titles), markdown_row(["---"] * len(titles))]
    return "\n".join([*lines, *(markdown_row(_cells(point)) for point in points), ""])


def in_order(points: Iterable[Point]) -> list[Point]:
    """Return the points, groups as they come, the best return of each first."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.group, []).append(point)
    return [x for group in groups.values() for x in sorted(group, key=lambda x: -x.returns.mean)]


def _cells(point: Point) -> list[str]:
    mean, deviation, count = point.returns.mean, point.returns.deviation, point.returns.count
    returns = f"{mean:.1f}" + (f" ± {deviation:.1f}" if count > 1 else "")
    label = point.label if point.group == "policies" else f"{point.label} ({point.group})"
    energies = point.energies.values()
    return [
        *(label, str(count), returns, f"{point.synaptic_ops:,.0f}"),
        *(f"{1e-3 * point.size.macs:.1f} k", str(point.size.neurons)),
        *(f"{x:,.0f}" for x in energies),
        *(f"{1e-3 * point.length * x:,.0f}" for x in energies),
    ]


POLICIES = "policies"
NAMES = {"hover": "JSRL", "guide": "APG", "bc": "BC", "td3-0": "TD3", "td3-1": "TD3"}


@dataclass(frozen=True)
class Args:
    """Draw return against the energy of a decision, and write the table."""

    results: Path = Path("docs/results")
    """Where scores of policies and results of studies are kept."""
    studies: tuple[str, ...] = ("learners", "memory", "sparsity")
    """Studies of the budget `study` to show beside the policies."""
    cell: str = "standard"
    """Cell of the fixed test whose return is shown."""
    output: Path = Path("docs/results/energy.md")
    """The table; the figure goes beside it."""


def main(args: Args) -> None:
    """Write table and figure, and print the table."""
    points = in_order(read_points(args))
    if not points:
        raise UserError(f"{args.results} holds no scores of a network; score one first")
    picture = args.output.with_suffix(".png")
    draw_points(picture, points, cell=args.cell)
    table = format_points(points)
    text = (
        f"# Return and energy\n\n`python training/energy_plot.py`: cell `{args.cell}` of the fixed "
        "test on the batched twin, end coefficients; energies by the constants of "
        "[evaluation](../evaluation.md#energy), of a decision and of a mean flight. Policies had "
        f"the full budget, studies the short one.\n\n{table}\n![return against energy]"
        f"({picture.name})\n"
    )
    write_atomically(args.output, text.encode())
    sys.stdout.write(table)


def read_points(args: Args) -> Iterator[Point]:
    """Yield every policy and setting of the studies that has scores of a network."""
    policies: dict[str, list[Any]] = {}
    for path in sorted((args.results / POLICIES).glob("*-batched.json")):
        name = path.stem.removesuffix("-batched")
        cells = _read(path)["cells"]
        if args.cell in cells:
            policies.setdefault(NAMES.get(name, name), []).append(cells[args.cell])
    for label, cells in policies.items():
        yield from _there(point_of(label, POLICIES, cells))
    shown = set()
    for study in args.studies:
        folder = args.results / "study" / study
        if not folder.is_dir():
            continue
        for label, runs in load_results(find_study(study), folder).items():
            done = finished(runs)
            command = tuple((run["script"], *run["options"]) for run in done[:1])
            if command not in shown:  # settings that studies share
                cells = [run["evaluation"][args.cell] for run in done]
                yield from _there(point_of(label, study, cells))
            shown.add(command)


def draw_points(path: Path, points: Sequence[Point], *, cell: str) -> None:
    """Draw one panel for each target into a PNG file."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    def fill(figure: Figure) -> None:
        panels = figure.subplots(1, len(TARGETS), sharey=True)
        for panel, target in zip(panels, TARGETS, strict=True):
            for place, point in enumerate(points):
                _draw(panel, place, point, target)
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            panel.xaxis.set_minor_formatter(NullFormatter())
            panel.set_xlabel("nJ a decision")
            head(panel, TARGET_NAMES[target])
        panels[0].set_ylabel(f"return, {cell}, end coefficients")
        note(panels[-1], "black rim: full budget")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
        figure.set_layout_engine("constrained")

    write_picture(path, fill, size=(12.0, 4.6), resolution=120)


def _draw(panel: Axes, place: int, point: Point, target: str) -> None:
    colour, _, marker = style_of(place)
    full = point.group == POLICIES
    panel.errorbar(
        [point.energies[target]],
        [point.returns.mean],
        yerr=[point.returns.deviation if point.returns.count > 1 else 0.0],
        fmt=marker,
        color=colour,
        markersize=9 if full else 6,
        markeredgecolor=INK if full else colour,
        markeredgewidth=1.4 if full else 0.5,
        label=point.label if full else f"{point.label} ({point.group})",
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        return content if content["cells"] else {"cells": {}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no evaluation ({error}); score the policy again") from error


def _there(point: Point | None) -> list[Point]:
    return [] if point is None else [point]
