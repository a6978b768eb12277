"""Policies are found by path, or by name among those that ship."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from snn_controller.paths import log_folder, policy_path, share_directory

SHIPPED = share_directory() / "policies"


@pytest.mark.parametrize("name", ["", "hover"])
def test_shipped_policies_have_names(name: str) -> None:
    assert policy_path(name) == SHIPPED / "hover.onnx"


@pytest.mark.parametrize("name", ["hover.onnx", "runs/hover", "no_such_policy", "~/hover"])
def test_all_else_is_a_path(name: str) -> None:
    assert policy_path(name) == Path(name).expanduser()


@pytest.mark.parametrize("name", ["9" * 5000, "~no_such_user", "a\0b", "a\nb"])
def test_impossible_names_are_paths_too(name: str) -> None:
    assert policy_path(name) == Path(name)


def test_a_file_in_the_working_folder_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hover").touch()
    monkeypatch.chdir(tmp_path)
    assert policy_path("hover") == Path("hover")


def test_logs_go_elsewhere_only_where_they_must(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "file").touch()
    barred = str(tmp_path / "file")
    assert log_folder({"HOME": str(tmp_path)}) == {}
    assert log_folder({"HOME": barred, "ROS_HOME": str(tmp_path)}) == {}
    assert log_folder({"HOME": str(tmp_path), "ROS_HOME": "~/ros"}) == {}
    assert (tmp_path / "ros" / "log").is_dir()
    assert log_folder({"HOME": barred, "ROS_LOG_DIR": barred}) == {}  # chosen: ROS says so
    for environment in ({"HOME": barred}, {}, {"HOME": str(tmp_path), "ROS_HOME": barred}):
        (name, folder), *more = log_folder(environment).items()
        assert name == "ROS_LOG_DIR" and Path(folder).parent == tmp_path and not more
    monkeypatch.setattr(tempfile, "tempdir", barred)
    assert log_folder({"HOME": barred}) == {}
