from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from snn_controller.errors import LONGEST_QUOTE
from snn_controller.nodes.ros.main import explain_start

TAIL = ", at /project/src/parse.c:350, at /project/src/rcl/arguments.c:415"
MIXED = "Sequence should be of same type. Value type 'integer' do not belong at line_num 3"
KEYS = "Sequences can only be values and not keys in params. Error at line 1"


def refused(path: str, cause: str) -> str:
    return (
        "failed to initialize rcl: Couldn't parse params file: '--params-file"
        f" {path}'. Error: {cause}{TAIL}"
    )


@pytest.mark.parametrize("folder", ["/tmp", "/tmp/it's a folder, at home", "/" + "x" * 4000])
@pytest.mark.parametrize("cause", [MIXED, f"{KEYS}\n", "y" * 4000 + " at line 7"])
def test_a_refused_parameter_file_is_told_with_its_cause_and_line(folder, cause) -> None:
    sentence = explain_start(refused(f"{folder}/limits.yaml", cause))
    assert "limits.yaml: " in sentence
    assert f"{cause.strip()[-60:]}); " in sentence
    assert "parse.c" not in sentence
    assert len(sentence) < 3 * LONGEST_QUOTE + 60
    assert ("3.0 instead of 3" in sentence) == (cause is MIXED)


def test_what_is_written_on_the_command_line_is_told_likewise() -> None:
    error = f"failed to initialize rcl: Couldn't parse parameter override rule: '-p {'z' * 400}'"
    sentence = explain_start(f"{error}. Error: {MIXED}{TAIL}")
    assert f"{MIXED}); " in sentence and "3.0 instead of 3" in sentence


def test_any_other_error_names_what_may_be_wrong() -> None:
    sentence = explain_start("SECURITY ERROR: unable to find enclave, at /project/src/a.c:1")
    assert sentence == (
        "ROS does not start (SECURITY ERROR: unable to find enclave); check the parameter file,"
        " ROS_DOMAIN_ID and ROS_SECURITY_KEYSTORE"
    )
