"""Pictures: same bytes for the same drawing, one sentence where there can be none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snn_controller.errors import UserError
from snn_controller.report.plots.style import write_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytest.importorskip("matplotlib")
SIZE = (2.0, 1.0)


def fill(figure: Figure) -> None:
    figure.add_subplot().plot([0.0, 1.0], [1.0, 0.0])


def test_the_same_drawing_gives_the_same_bytes_and_the_size(tmp_path: Path) -> None:
    from matplotlib import image, rcParams

    before = dict(rcParams)
    for name in ("one.png", "two.png"):
        write_picture(tmp_path / name, fill, size=SIZE, resolution=100)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert image.imread(tmp_path / "one.png").shape[:2] == (100, 200)
    assert dict(rcParams) == before


def test_missing_matplotlib_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="pip install matplotlib"):
        write_picture(tmp_path / "flight.png", fill, size=SIZE)


def test_another_kind_of_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.png"):
        write_picture(tmp_path / "flight.jpg", fill, size=SIZE)
    assert not list(tmp_path.iterdir())
