"""Return against energy: what stored scores say about the energy of a decision and of a flight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snn_controller.policy import (
    CMOS_ADDITION,
    CMOS_MAC,
    LOIHI_NEURON_UPDATE,
    LOIHI_SYNAPTIC_OP,
    TARGETS,
    NetworkSize,
)
from snn_training.studies.statistics import Spread, spread

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
    lines = [_row(titles), _row(["---"] * len(titles))]
    return "\n".join([*lines, *(_row(_cells(point)) for point in points), ""])


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


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
