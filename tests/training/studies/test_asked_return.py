"""Asked and achieved returns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_training.artifacts.file import ArtifactInfo
from snn_training.artifacts.transformer import export_transformer
from snn_training.networks.transformer.in_flight import Conditioning, FlyingTransformer
from snn_training.studies.asked_return import Args, main, rank_correlation
from support.transformer_samples import transformer

LIMITS = Conditioning(target=450.0, low=100.0, high=490.0, hover_throttle=0.6)


@pytest.mark.slow
def test_every_target_is_flown_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, picture = tmp_path / "p.onnx", tmp_path / "asked.png"
    export_transformer(
        FlyingTransformer(transformer(), LIMITS), policy, ArtifactInfo("crazyflie21")
    )
    main(Args(policy, picture, count=3, episodes=2))
    report = json.loads(picture.with_suffix(".json").read_text())
    assert [row["asked"] for row in report["targets"]] == [100.0, 295.0, 490.0]
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "rank correlation" in capsys.readouterr().out


def test_ranks_not_sizes_are_compared() -> None:
    asked = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(asked, np.exp(asked)) == pytest.approx(1.0)
    assert rank_correlation(asked, -asked) == pytest.approx(-1.0)


def test_a_policy_without_a_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="takes no target return"):
        main(Args(policy_path("hover"), tmp_path / "x.png"))
