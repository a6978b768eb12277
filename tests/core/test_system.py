"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snn_controller.errors import UserError
from snn_controller.system import write_atomically


def test_a_file_and_its_folder_appear(tmp_path: Path) -> None:
    os.umask(umask := os.umask(0o022))
    path = tmp_path / "new" / "file"
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(_: int) -> None:
        raise fault

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    wanted = UserError if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(wanted) as caught:
        write_atomically(path, b"new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]
    assert wanted is KeyboardInterrupt or "free some space" in str(caught.value)


def test_an_impossible_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="choose a folder"):
        write_atomically(tmp_path / "file" / "below", b"")
