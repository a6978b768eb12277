"""The slope study: measured once, drawn from what is stored, with the paper's values beside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snn_controller.errors import UserError
from snn_training.studies import slope_study, sweep
from snn_training.studies.alignment import (
    SLOPES,
    AlignmentConfig,
    Problem,
    format_alignment,
    update_alignment,
)
from snn_training.studies.catalogue import Setting, find_study
from snn_training.studies.results import write_result
from snn_training.studies.slope_study import (
    best_return,
    draw_learning,
    format_learning,
    load_learning,
    missing_seeds,
)
from support.study_results import make_result

TINY = Problem(inputs=4, width=5, outputs=3, samples=6)
CONFIG = AlignmentConfig(
    problem=TINY,
    runs=2,
    depths=(1, 4),
    small=TINY,
    small_runs=2,
    small_depths=(1,),
    shares=(0.2,),
    pairs=30,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A results folder with two seeds of one setting of TD3."""
    folder = tmp_path / "study" / "slopes_td3"
    setting = find_study("slopes_td3").settings[0]
    assert setting.label == "fixed-1"
    for seed, best in ((0, 200.0), (1, 210.0)):
        curve = {
            "transitions": [1000, 2000],
            "updates": [10, 20],
            "return_end": [50.0, best],
            "survival": [0.1, 0.2],
        }
        write_result(folder / f"fixed-1-{seed}.json", make_result(setting, seed, curve=curve))
    return tmp_path


def test_numbers_are_measured_once_and_parts_that_are_missing_again(tmp_path: Path) -> None:
    path = tmp_path / "alignment.json"
    found = update_alignment(path, CONFIG)
    assert {"reference-1", "reference-4", "smoothed-1-0.2"} <= found.keys()
    assert update_alignment(path, CONFIG) == found
    marked = {**found, "reference-1": "kept"}
    del marked["smoothed-1-0.2"]
    path.write_text(json.dumps(marked))
    again = update_alignment(path, CONFIG)
    assert again["reference-1"] == "kept"
    assert again["smoothed-1-0.2"] == found["smoothed-1-0.2"]  # the same draws


def test_numbers_of_other_settings_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "alignment.json"
    path.write_text(json.dumps({"config": {}}))
    with pytest.raises(UserError, match="other settings"):
        update_alignment(path, CONFIG)
    path.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        update_alignment(path, CONFIG)


def test_the_table_has_the_papers_values_beside_ours(tmp_path: Path) -> None:
    found = update_alignment(tmp_path / "alignment.json", CONFIG)
    rows = format_alignment(found, "x.png").splitlines()
    assert "| 50 | paper | 1.4e-09 | 0.7 | 0.79 | 0.85 | 0.93 |" in rows
    assert sum(row.startswith("| 50 | ours |") for row in rows) == 1
    assert set(found["reference-4"]) == {f"{slope:g}" for slope in SLOPES}
    repeat = next(row for row in rows if row.startswith("| two estimates"))
    assert repeat.count("|") == 4  # one LIF layer and the read-out


def test_the_best_validation_is_the_runs_own(place: Path) -> None:
    runs = load_learning(place / "study")["slopes_td3"]
    best = best_return(runs["fixed-1"])
    assert best is not None
    assert (best.mean, best.count) == (205.0, 2)
    assert best_return([]) is None


def test_the_learning_table_names_what_is_missing(place: Path) -> None:
    learning = load_learning(place / "study")
    text = format_learning(learning, (0, 1, 2), "x.png")
    assert "fixed-1 seeds 2;" in text
    assert "fixed-2 seeds 0, 1, 2" in text
    row = next(line for line in text.splitlines() if line.startswith("| fixed-1 | 2 |"))
    assert row.split(" | ")[2:4] == ["2.0 ± 0.0 k", "205.0 ± 7.1"]
    assert "| 161 ± 10 | 163 |" in text
    assert missing_seeds({"a": [{"seed": 0}]}, [Setting("a", "td3")], (0,)) == {}


def test_figures_are_drawn_with_little_and_with_nothing(place: Path, tmp_path: Path) -> None:
    for folder in (place / "study", place / "nothing"):
        draw_learning(tmp_path / "x.png", load_learning(folder))
        assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_one_command_runs_what_is_missing_and_draws_all(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: list[sweep.Args] = []

    def run(args: sweep.Args) -> None:
        asked.append(args)
        if args.study == "slopes_bc":
            raise UserError("1 runs failed")

    monkeypatch.setattr(slope_study.sweep, "main", run)
    args = slope_study.Args(results=place, seeds=(0, 1), workers=1, alignment=CONFIG)
    with pytest.raises(UserError, match="1 runs failed"):
        slope_study.main(args)
    assert [x.study for x in asked] == ["slopes_bc", "slopes_td3", "slopes"]
    assert {(x.seeds, x.workers, x.results) for x in asked} == {((0, 1), 1, place)}
    names = {path.name for path in (place / "study").iterdir() if path.is_file()}
    both = {
        f"{name}.{end}"
        for name in ("alignment", "slope_learning", "slopes_td3")
        for end in ("md", "png")
    }
    assert names == {*both, "alignment.json"}
    slope_study.main(slope_study.Args(results=place, draw=True, alignment=CONFIG))
    assert len(asked) == 3
    assert capsys.readouterr().out.count("wrote") == 6
