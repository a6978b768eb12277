"""A result says which source it comes from."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from snn_training.common import git_hash


@pytest.mark.parametrize(("status", "suffix"), [("", ""), (" M a.py\n", "+changes")])
def test_git_hash_tells_changes(monkeypatch: pytest.MonkeyPatch, status: str, suffix: str) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "abc\n" if "HEAD" in command else status)

    monkeypatch.setattr(subprocess, "run", run)
    assert git_hash() == f"abc{suffix}"


def test_without_git_the_source_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", run)
    assert git_hash() == "unknown"
