"""The Markdown table of many evaluations."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snn_controller.errors import UserError
from snn_training.evaluation.table import Column, format_report
from snn_training.studies.tables import Args, make_table
from support.places import ROOT


def report(sim: str = "batched", value: float | None = 400.0, **tracks: float) -> dict[str, Any]:
    return {
        "sim": sim,
        "cells": {"standard": {"return_end": {"mean": value, "low": value, "high": value}}},
        "tracks": {name: {"rms_m": {"mean": x}} for name, x in tracks.items()},
    }


def write(path: Path, content: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path)


def table(*files: str, **options: Any) -> list[str]:
    chosen = {"cells": ("standard",), "scores": ("return_end",), **options}
    return make_table(Args(files, **chosen)).splitlines()


def test_one_file_is_a_row_of_means(tmp_path: Path) -> None:
    assert table(write(tmp_path / "guide.json", report())) == [
        "| policy | runs | standard return end |",
        "| --- | --- | --- |",
        "| guide (batched) | 1 | 400.0 |",
    ]


def test_files_of_one_label_share_a_row_with_their_spread(tmp_path: Path) -> None:
    for seed, value in enumerate((390.0, 400.0, 410.0)):
        write(tmp_path / f"run-{seed}" / "evaluation.json", {"batched": report(value=value)})
    lines = table(f"JSRL={tmp_path}/run-*/evaluation.json")
    assert lines[2:] == ["| JSRL (batched) | 3 | 400.0 ± 10.0 |"]


def test_a_run_has_a_row_for_each_simulator_and_the_name_of_its_folder(tmp_path: Path) -> None:
    both = {"batched": report(), "pybullet": report("pybullet", 380.0)}
    lines = table(write(tmp_path / "my-run" / "evaluation.json", both))
    assert lines[2:] == ["| my-run (batched) | 1 | 400.0 |", "| my-run (pybullet) | 1 | 380.0 |"]


def test_what_is_not_known_is_a_dash(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", report(value=None, hover=0.0123))
    (line,) = table(file, tracks=("hover", "square"), track_scores=("rms_m",))[2:]
    assert line == "| a (batched) | 1 | - | 0.012 | - |"


def test_spread_leaves_out_runs_without_the_score() -> None:
    column = Column("cells", "standard", "return_end")
    assert column.cell([report(), report(value=None)]) == "400.0"
    assert column.cell([]) == "-"


def test_screen_table_has_cells_and_tracks() -> None:
    def every(*names: str) -> dict[str, Any]:
        return {name: {"mean": None if name == "energy_nj" else 1.0} for name in names}

    cell = every(
        "return_start", "return_end", "survival", "rms_xy_m", "steady_xy_m", "rms_z_m",
        "action_step", "synaptic_ops", "energy_nj",
    )  # fmt: skip
    track = every("survival", "rms_m", "steady_m", "action_step", "synaptic_ops", "energy_nj")
    lines = format_report({"cells": {"easy": cell}, "tracks": {"hover": track}}).splitlines()
    assert [line.split()[0] for line in lines] == ["cell", "easy", "track", "hover"]
    assert lines[1].split()[-1] == "-"
    assert len({len(line) for line in lines[:2]}) == 1


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("[1]", {}, "no evaluation"),
        ("{}x", {}, "no evaluation"),
        ('{"a": {"b": 1}}', {}, "no evaluation"),
        (json.dumps(report()), {"cells": ("hrad",)}, "unknown cell 'hrad'; choose from: easy"),
        (json.dumps(report()), {"scores": ("retrun",)}, "return_end"),
        (json.dumps(report()), {"tracks": ("loop",)}, "figure8"),
        (json.dumps(report()), {"track_scores": ("return_end",)}, "rms_m"),
    ],
)
def test_wrong_input_is_refused(
    tmp_path: Path, content: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=message):
        table(str(tmp_path / "x.json"), **options)


@pytest.mark.slow
def test_a_missing_file_is_refused_by_the_program() -> None:
    command = [sys.executable, "training/tables.py", "A=no_such.json"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr.startswith("error: no file no_such.json; make one with")
