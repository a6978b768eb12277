"""A stamped policy carries its report and flies as before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_controller.policy.artifact import read_artifact
from snn_controller.policy.runtime import Policy
from snn_training.evaluation.embed import Args, read_report, stamp
from snn_training.evaluation.embed import main as stamp_policy

REPORT = {"cells": {"standard": {"spike_rate": {"lif1": {"mean": 0.25}, "lif2": {"mean": 0.5}}}}}


def test_the_report_goes_in_and_the_policy_stays(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    stamp_policy(Args(policy_path(""), tmp_path / "report.json", tmp_path / "stamped.onnx"))
    stamped, plain = Policy.load(tmp_path / "stamped.onnx"), Policy.load(policy_path(""))
    assert stamped.metadata.evaluation == REPORT
    assert stamped.metadata.spike_statistics["rate_per_tick"] == {"lif1": 0.25, "lif2": 0.5}
    assert stamped.metadata.provenance == plain.metadata.provenance
    observations = np.random.default_rng(0).normal(size=(20, 18)).astype(np.float32)
    for observation in observations:
        np.testing.assert_array_equal(stamped.step(observation), plain.step(observation))


def test_stamping_twice_gives_the_same_bytes() -> None:
    content = read_artifact(policy_path(""))
    assert stamp(stamp(content, REPORT), REPORT) == stamp(content, REPORT)


@pytest.mark.parametrize("content", ["nonsense", "[]", "{}", None])
def test_what_is_no_report_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(UserError, match="is no report"):
        read_report(tmp_path / "report.json")
