"""onnxruntime is opened in one way only: silent, and told to report to nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from snn_controller.errors import UserError
from snn_controller.policy.session import import_onnxruntime

TELEMETRY = "ORT_DISABLE_TELEMETRY"


@pytest.mark.parametrize(("chosen", "then"), [(None, "1"), ("0", "0")])
def test_it_reports_to_nobody_unless_somebody_chose_so(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, then: str
) -> None:
    monkeypatch.delenv(TELEMETRY, raising=False)
    if chosen is not None:
        monkeypatch.setenv(TELEMETRY, chosen)
    import_onnxruntime()
    assert os.environ.pop(TELEMETRY) == then


def test_batched_policies_do_not_import_it_before_that() -> None:
    code = (
        "import sys, snn_training.rollouts.batched_policy; sys.exit('onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_without_it_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        import_onnxruntime()
