"""Tables of studies: honest statistics, and a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_training.studies import catalogue as studies
from snn_training.studies.catalogue import Setting, Study
from snn_training.studies.results import (
    Reached,
    Spread,
    band,
    curve_of,
    spread,
    time_to,
    write_result,
)
from snn_training.studies.table import show, show_reached, style_of, write_table
from support.study_results import make_result

STUDY = Study("Which?", (Setting("A", "td3"), Setting("B-2", "td3", ("--batch", "9"))))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(studies.STUDIES, "tiny", STUDY)
    return tmp_path / "study" / "tiny"


def keep(folder: Path, setting: Setting, seed: int, **changes: Any) -> None:
    result = make_result(setting, seed, **changes)
    write_result(folder / f"{setting.label}-{seed}.json", result)


def row_of(table: str, label: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_has_mean_deviation_and_number_of_runs(folder: Path) -> None:
    for seed in (0, 2, 10):
        keep(folder, STUDY.settings[0], seed)
    table = write_table("tiny", folder)
    row = row_of(table, "A")
    assert row[1] == "3"
    assert row[2] == "14.0 ± 5.3"  # 10, 12, 20
    assert row[8] == "2.0 ± 0.0 k"
    assert row[9] == "never"
    assert row[10] == "5.0 ± 5.3"  # 1, 3, 11 minutes
    assert "seeds 0, 2, 10" in table
    assert "7 episodes a cell" in table
    assert "0123456 with changes" in table
    assert row_of(table, "B-2")[1:] == ["0", *["-"] * 9]


def test_failures_are_counted_and_partial_times_left_out(folder: Path) -> None:
    setting = STUDY.settings[1]
    keep(folder, setting, 0, resumed=True)
    keep(folder, setting, 1)
    keep(folder, setting, 2, status="failed")
    row = row_of(write_table("tiny", folder), "B-2")
    assert row[1] == "2 (1 failed)"
    assert row[2] == "10.5 ± 0.7"
    assert row[10] == "2.0"  # of the one that was not resumed, without a deviation


def test_it_is_written_beside_the_results_with_its_picture(folder: Path) -> None:
    for seed in (0, 1):
        keep(folder, STUDY.settings[0], seed)
    table = write_table("tiny", folder)
    assert folder.with_suffix(".md").read_text() == table
    assert folder.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "![learning curves](tiny.png)" in table


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"options": ["--batch", "8"]}, "was made with options"),
        ({"budget": "full"}, "was made with budget"),
        ({"script": "bc"}, "was made with script"),
    ],
)
def test_runs_that_are_not_alike_are_not_averaged(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    keep(folder, STUDY.settings[0], 0)
    keep(folder, STUDY.settings[0], 1, **changes)
    with pytest.raises(UserError, match=words) as caught:
        write_table("tiny", folder)
    assert "\n" not in str(caught.value)


def test_without_results_it_says_so(folder: Path) -> None:
    with pytest.raises(UserError, match="holds no results yet"):
        write_table("tiny", folder)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_deviation_is_that_of_a_sample(values: list[float]) -> None:
    found = spread([*values, None, math.nan])
    assert found is not None
    assert found.count == len(values)
    assert found.mean == pytest.approx(sum(values) / len(values), abs=1e-6)
    squares = sum((x - found.mean) ** 2 for x in values) / (len(values) - 1)
    assert found.deviation == pytest.approx(math.sqrt(squares), rel=1e-6, abs=1e-6)


def test_a_single_run_shows_no_deviation_and_none_shows_a_dash() -> None:
    assert show(spread([1.25]), "{:.1f}") == "1.2"
    assert show(spread([None]), "{:.1f}") == "-"
    assert show_reached(Reached(None, 3), "updates") == "never"
    some = Reached(Spread(2000.0, 500.0, 2), 3)
    assert show_reached(some, "updates") == "2.0 ± 0.5 k (2 of 3)"
    assert show_reached(some, "minutes") == "2000.0 ± 500.0 (2 of 3)"


def test_time_to_a_return_is_the_first_validation_there() -> None:
    result = make_result(STUDY.settings[0], 0)
    result["curve"]["return_end"] = [50.0, 120.0, 90.0]
    late = make_result(STUDY.settings[0], 1)
    late["curve"]["return_end"] = [50.0, 60.0, 90.0]
    assert time_to([result, late], "transitions", 100.0) == Reached(spread([2000.0]), 2)
    assert time_to([result], "updates", 100.0) == Reached(None, 0)  # no such column


def test_minutes_are_spread_evenly_over_the_rows_of_an_unbroken_run() -> None:
    result = make_result(STUDY.settings[0], 2)  # three minutes, three rows
    np.testing.assert_allclose(curve_of(result, "minutes", "survival")[0], [1.0, 2.0, 3.0])
    assert time_to([result], "minutes", 100.0) == Reached(spread([2.0]), 1)
    resumed = make_result(STUDY.settings[0], 2, resumed=True)
    assert time_to([result, resumed], "minutes", 100.0) == Reached(spread([2.0]), 1)


def test_a_band_covers_what_all_runs_have() -> None:
    axis = np.array([1.0, 2.0, 3.0])
    one, other = (axis, np.array([0.0, 2.0, 4.0])), (axis[:2], np.array([2.0, 4.0]))
    found = band([one, other, curve_of({"curve": {}}, "updates", "survival")])
    assert found is not None
    np.testing.assert_array_equal(found[0], [1.0, 2.0])
    np.testing.assert_allclose(found[1], [1.0, 3.0])
    np.testing.assert_allclose(found[2], [2.0**0.5, 2.0**0.5])
    assert band([]) is None


def test_no_two_settings_of_a_study_look_alike() -> None:
    for study in studies.STUDIES.values():
        styles = [style_of(place) for place in range(len(study.settings))]
        assert len(set(styles)) == len(styles)
