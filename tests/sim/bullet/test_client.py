"""Guarded access to PyBullet."""

from __future__ import annotations

import subprocess
import sys

import pytest

from snn_controller.errors import UserError
from snn_sim.bullet.client import connect, import_pybullet


def test_missing_pybullet_is_one_sentence_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pybullet", None)
    monkeypatch.delitem(sys.modules, "pybullet")
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UserError, match=r"pip install -e '\.\[flight\]'"):
        import_pybullet()


def test_window_without_display_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UserError, match="display"):
        connect(gui=True)


def test_import_writes_nothing() -> None:
    script = "import snn_sim.bullet.client; snn_sim.bullet.client.import_pybullet()"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
