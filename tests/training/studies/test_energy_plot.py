"""Return against energy: sizes from stored scores, the table, the figure, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from snn_controller.errors import UserError
from snn_controller.policy.energy import NetworkSize, tick_energies
from snn_training.evaluation.metrics import ENERGY_SCORES
from snn_training.studies import energy_plot
from snn_training.studies.energy_plot import (
    Point,
    format_points,
    in_order,
    network_size_of,
    point_of,
)
from snn_training.studies.results import Spread


def scores(
    operations: float = 1000.0, size: NetworkSize | None = None, value: float = 400.0
) -> dict[str, Any]:
    """Return a cell's scores of a network, or of the guide without a size."""
    energies = tick_energies(operations, size) if size else dict.fromkeys(ENERGY_SCORES)
    named = {ENERGY_SCORES[target]: x for target, x in energies.items()}
    named |= {"synaptic_ops": operations, "return_end": value, "length": 500.0}
    return {name: {"mean": x} for name, x in named.items()}


@pytest.mark.parametrize("size", [NetworkSize(384, 5632), NetworkSize(0, 70_656)])
def test_stored_scores_tell_the_size_of_the_network(size: NetworkSize) -> None:
    assert network_size_of(scores(11_163.1, size)) == size


def test_the_guide_is_no_network() -> None:
    assert point_of("guide", "policies", [scores()]) is None
    with pytest.raises(ValueError, match="no network"):
        network_size_of(scores())


def test_a_point_is_the_mean_of_its_runs_and_its_flight_costs_every_step() -> None:
    size = NetworkSize(10, 100)
    cells = [scores(x, size, value=y) for x, y in ((100.0, 390.0), (300.0, 410.0))]
    point = point_of("LIF", "memory", cells)
    assert point is not None
    assert (point.returns.mean, point.returns.count, point.synaptic_ops) == (400.0, 2, 200.0)
    loihi = point.energies["loihi"]
    assert loihi == pytest.approx(1e-3 * (200 * 23.6 + 10 * 81 + 100 * 4.6))
    row = format_points([point]).splitlines()[2].split(" | ")
    assert row[:4] == ["| LIF (memory)", "2", "400.0 ± 14.1", "200"]
    assert [row[6], row[9]] == [f"{loihi:,.0f}", f"{0.5 * loihi:,.0f}"]


def test_groups_stay_together_and_the_best_leads() -> None:
    size = NetworkSize(1, 1)
    rows = [("a", "x", 1.0), ("b", "y", 9.0), ("c", "x", 2.0)]
    points = [Point(a, g, Spread(r, 0.0, 1), 500.0, 1.0, size) for a, g, r in rows]
    assert [x.label for x in in_order(points)] == ["c", "a", "b"]


def test_table_and_figure_are_made_from_files(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    for name, value in (("hover", 460.0), ("td3-0", 340.0), ("td3-1", 380.0)):
        cells = {"standard": scores(100.0, NetworkSize(5, 50), value)}
        (folder / f"{name}-batched.json").write_text(json.dumps({"cells": cells}))
    (folder / "geometric-batched.json").write_text(json.dumps({"cells": {"standard": scores()}}))
    output = tmp_path / "energy.md"
    energy_plot.main(energy_plot.Args(results=tmp_path, output=output))
    lines = [line for line in output.read_text().splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| JSRL", "1", "460.0"],
        ["| TD3", "2", "360.0 ± 28.3"],
    ]
    assert (tmp_path / "energy.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no scores of a network"):
        energy_plot.main(energy_plot.Args(results=tmp_path, output=tmp_path / "energy.md"))
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "x-batched.json").write_text("[]")
    with pytest.raises(UserError, match="is no evaluation"):
        energy_plot.main(energy_plot.Args(results=tmp_path, output=tmp_path / "energy.md"))
