"""Building the C kernel: cached, safe with several processes, and None where it cannot be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from snn_training.neurons import kernel_c
from snn_training.neurons.kernel_c import build, find_compiler, load_c_kernel
from support.places import ROOT

COMPILER = find_compiler()
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kernel_c, "load_c_kernel", load_c_kernel.__wrapped__)
    return tmp_path / "snn_controller"


@needs_compiler
def test_a_second_load_builds_nothing(fresh_cache: Path) -> None:
    assert kernel_c.load_c_kernel() is not None
    (library,) = fresh_cache.iterdir()
    written = library.stat().st_mtime_ns
    assert kernel_c.load_c_kernel() is not None
    assert library.stat().st_mtime_ns == written


@needs_compiler
def test_processes_that_build_at_once_all_get_a_whole_library(fresh_cache: Path) -> None:
    code = "from snn_training.neurons.kernel_c import load_c_kernel as load; assert load()"
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert [file.suffix for file in fresh_cache.iterdir()] == [".so"]


@needs_compiler
def test_a_changed_source_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "kernel.c"
    source.write_text(kernel_c.SOURCE.read_text() + "\n/* changed */\n")
    assert COMPILER is not None
    one = build(COMPILER, tmp_path / "cache")
    monkeypatch.setattr(kernel_c, "SOURCE", source)
    assert build(COMPILER, tmp_path / "cache") != one


@pytest.mark.parametrize("compiler", ["/bin/false", None])
def test_without_a_working_compiler_there_is_no_kernel(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, compiler: str | None
) -> None:
    monkeypatch.setattr(kernel_c, "find_compiler", lambda: compiler)
    assert kernel_c.load_c_kernel() is None


@needs_compiler
def test_a_cache_that_cannot_be_written_means_no_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_c_kernel.__wrapped__() is None
