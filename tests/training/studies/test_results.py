"""Results on disk: the same back, thinned, small."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_training.studies.results import (
    MAX_CURVE_ROWS,
    read_curve,
    read_result,
    rounded,
    write_result,
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    result = {"format": 1, "status": "done", "curve": {"x": [1, None]}, "evaluation": {}}
    write_result(tmp_path / "a" / "b.json", result)
    assert read_result(tmp_path / "a" / "b.json") == result
    assert read_result(tmp_path / "other.json") is None


@pytest.mark.parametrize("count", [1, 59, 60, 61, 1000])
def test_a_curve_keeps_its_ends_and_is_never_long(tmp_path: Path, count: int) -> None:
    lines = ["step,score", *(f"{i},{i / 7}" for i in range(count))]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    curve = read_curve(tmp_path / "log.csv")
    assert len(curve["step"]) == len(curve["score"]) == min(count, MAX_CURVE_ROWS)
    assert (curve["step"][0], curve["step"][-1]) == (0, count - 1)


def test_what_is_no_number_is_none(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("a,b,c,d\n,nan,1.23456789,12\n")
    assert read_curve(tmp_path / "log.csv") == {"a": [None], "b": [None], "c": [1.2346], "d": [12]}
    (tmp_path / "log.csv").write_text("")
    assert read_curve(tmp_path / "log.csv") == {}


@given(st.floats(-1e300, 1e300, allow_subnormal=False))
def test_rounding_keeps_five_digits(value: float) -> None:
    found = rounded({"x": {"y": value}})["x"]["y"]
    assert math.isclose(found, value, rel_tol=1e-4)
