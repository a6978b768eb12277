"""A judgement as files: report.json for programs and people, junit.xml for build servers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from snn_controller.flight import JudgeSettings
from snn_controller.judge.checks import Judgement
from snn_controller.system import write_atomically

REPORT_FILE, JUNIT_FILE = "report.json", "junit.xml"


def write_judgement(folder: Path, judgement: Judgement, settings: JudgeSettings) -> Path:
    """Write both files and return the path of report.json.

    Raises:
        UserError: The folder cannot be written.
    """
    write_atomically(folder / JUNIT_FILE, junit(judgement, settings.expect))
    text = json.dumps(as_json(judgement, settings), indent=2, allow_nan=False) + "\n"
    return write_atomically(folder / REPORT_FILE, text.encode())


def as_json(judgement: Judgement, settings: JudgeSettings) -> dict[str, Any]:
    """Return the judgement as JSON types."""
    return {
        "passed": judgement.passed,
        "failure": judgement.failure,
        "expect": settings.expect,
        "checks": [asdict(check) for check in judgement.checks],
        "flight": judgement.summary,
    }


def junit(judgement: Judgement, suite: str) -> bytes:
    """Return the judgement as JUnit XML: one test case per check."""
    failures = sum(not check.passed for check in judgement.checks)
    root = ElementTree.Element(
        "testsuite", name=suite, tests=str(len(judgement.checks)), failures=str(failures)
    )
    for check in judgement.checks:
        case = ElementTree.SubElement(root, "testcase", classname="judge", name=check.name)
        if not check.passed:
            ElementTree.SubElement(case, "failure", message=check.detail)
        else:
            ElementTree.SubElement(case, "system-out").text = check.detail
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def summary_lines(judgement: Judgement) -> list[str]:
    """Return the judgement as lines for a screen."""
    lines = [
        f"  {'ok  ' if check.passed else 'FAIL'} {check.name}: {check.detail}"
        for check in judgement.checks
    ]
    return [f"judgement: {'PASSED' if judgement.passed else 'FAILED'}", *lines]
