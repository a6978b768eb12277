"""The docs say what the code does: names, defaults and links."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from snn_controller.bringup.arguments import ARGUMENTS
from snn_controller.control.trajectories import TASKS
from snn_controller.flight.parameters import (
    ControllerSettings,
    JudgeSettings,
    RecorderSettings,
    SimulatorSettings,
    ViewerSettings,
)
from snn_controller.safety.guards import reaction_table
from snn_controller.safety.state_machine import commander_table, state_diagram
from support.places import ROOT

INTERFACES = (ROOT / "docs" / "interfaces.md").read_text()
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
]


SAFETY = (ROOT / "docs" / "safety.md").read_text()


def default_of(setting) -> str:
    value = setting.default_factory() if setting.type.startswith("list") else setting.default
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    "settings",
    [ControllerSettings, SimulatorSettings, RecorderSettings, JudgeSettings, ViewerSettings],
)
def test_every_parameter_is_listed_with_its_meaning(settings: type) -> None:
    for setting in fields(settings):
        row = next(
            (
                line
                for line in (INTERFACES + SAFETY).splitlines()
                if line.startswith(f"| `{setting.name}` |")
                and setting.metadata["description"] in line
            ),
            None,
        )
        assert row is not None, f"{setting.name}: {setting.metadata['description']}"
        for choice in setting.metadata.get("choices") or ():
            assert f"`{choice}`" in row, f"{setting.name}: {choice}"


def test_every_argument_is_listed_with_its_meaning() -> None:
    for argument in ARGUMENTS:
        assert f"| `{argument.name}` |" in INTERFACES
        assert argument.description in INTERFACES


def test_every_task_is_listed() -> None:
    for task in TASKS.values():
        assert f"`{task.name}`" in INTERFACES
        assert task.description in INTERFACES


@pytest.mark.parametrize("make", [state_diagram, commander_table, reaction_table])
def test_the_safety_page_shows_the_tables_that_fly(make: Callable[[], str]) -> None:
    assert make() in SAFETY


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_the_docs_name_exist(page: Path) -> None:
    tops = ("ros2_ws", "sim", "training", "tests", "benchmarks", "docker", "launch")
    files = {file for top in tops for file in (ROOT / top).rglob("*.py")}
    known = {str(file.relative_to(ROOT)) for file in files}
    for name in re.findall(r"[\w./-]*\w\.py\b", page.read_text()):
        if "NAME" not in name and not name.startswith("test_NAME"):
            end = "/" + name.lstrip("./")
            assert any(("/" + file).endswith(end) for file in known), name
