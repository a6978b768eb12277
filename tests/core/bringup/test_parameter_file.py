from __future__ import annotations

import json
from pathlib import Path

import pytest

from snn_controller.bringup.graph import SET_BY_FILE, fly_graph
from snn_controller.bringup.parameter_file import check_sections
from snn_controller.errors import UserError
from snn_controller.paths import share_directory

VALUES = {"ros__parameters": {"max_speed": 0.5}}


@pytest.fixture
def check(tmp_path: Path):
    def check(content: object, *, namespaced: bool = False) -> None:
        file = tmp_path / "limits.yaml"
        file.write_text(content if isinstance(content, str) else json.dumps(content))  # YAML too
        check_sections(file, SET_BY_FILE, namespaced=namespaced)

    return check


@pytest.mark.parametrize("name", ["/**", "/*", "/**/*", "/**/simulator", "/firmware", "simulator"])
def test_sections_of_nodes_that_there_are_pass(check, name: str) -> None:
    check({name: VALUES})
    check({name: VALUES}, namespaced=True)


@pytest.mark.parametrize(
    ("content", "section"),
    [
        ({"/**/flight_controller": VALUES}, "**/flight_controller"),
        ({"/**": VALUES, "snn_controler": VALUES}, "snn_controler"),
        ({"/**/Simulator": VALUES}, "**/Simulator"),
        ({"/**/recorder": VALUES}, "**/recorder"),
        ({"drone1": {"nobody": VALUES}}, "drone1/nobody"),
        ({"/**/snn_*": VALUES}, "**/snn_*"),
        ({"snn_controller": {**VALUES, "inner": VALUES}}, "snn_controller/inner"),
    ],
)
@pytest.mark.parametrize("namespaced", [True, False])
def test_a_section_of_nobody_is_named_with_the_nodes_there_are(
    check, content, section: str, namespaced: bool
) -> None:
    with pytest.raises(UserError) as caught:
        check(content, namespaced=namespaced)
    assert f"limits.yaml has a section '{section}', but no node gets it" in str(caught.value)
    assert "/**/snn_controller, /**/simulator, /**/firmware, or /** for all" in str(caught.value)


@pytest.mark.parametrize(
    "content", [{"/drone1/snn_controller": VALUES}, {"drone1": {"/snn_controller": VALUES}}]
)
def test_a_namespace_is_allowed_where_there_may_be_one(check, content) -> None:
    check(content, namespaced=True)
    with pytest.raises(UserError, match="section 'drone1/snn_controller', but no node gets it"):
        check(content)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a: [1, 2",
        "3",
        "[a, b]",
        "\0",
        "a: &a {b: *a}",
        "? {a: 1}\n: 2",
        "[" * 3000,
        "nobody: 1",
    ],
)
def test_what_is_no_parameter_file_is_left_to_ros(check, content: str) -> None:
    check(content)


@pytest.mark.parametrize("name", ["fly", "x500", "px4_double"])
@pytest.mark.parametrize("link", ["sim", "mavlink"])
def test_files_that_come_with_the_package_fit_every_graph(name: str, link: str) -> None:
    file = share_directory() / "config" / f"{name}.yaml"
    assert fly_graph({"params_file": str(file), "link": link}, launcher_pid=1)
