"""TD3BC on a guide's flights, tiny: one data set, reproducible, resumable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_controller.policy.runtime import Policy
from snn_training.algorithms import runner
from snn_training.algorithms.td3bc import offline as td3bc
from snn_training.algorithms.td3bc import training
from snn_training.evaluation.reporter import ReportingConfig
from support.sequence_samples import TINY, config


def make_args(folder: Path, name: str, **options: Any) -> td3bc.Args:
    args = td3bc.Args(
        name=name,
        folder=folder,
        guide="geometric",
        drones=6,
        intervals=2,
        updates=6,
        replay=600,
        flown_ticks=70,
        validation=8,
        network=TINY,
        learner=config(),
        reporting=ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0),
    )
    return replace(args, **options)


def weights(folder: Path) -> list[torch.Tensor]:
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    return list(content["learner"]["actor"].values())


@pytest.mark.slow
def test_the_guide_flies_all_of_it_and_the_policy_nothing(tmp_path: Path) -> None:
    td3bc.main(make_args(tmp_path, "run"))
    content = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    arrays = {name: x.numpy() for name, x in content["replay"]["arrays"].items()}
    assert content["replay"]["added"] == 70
    noise = arrays["actions"] - arrays["labels"]
    np.testing.assert_array_equal(noise[:, 0], 0.0)  # the drone whose share of noise is none
    assert np.abs(noise[:, -1]).max() > 0.1
    policy = Policy.load(tmp_path / "run" / "policy.onnx")
    assert np.isfinite(policy.step(np.zeros(18))).all()


@pytest.mark.slow
def test_an_interrupted_run_resumes_as_if_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "plot_log", lambda *rest: None)
    shipped = Path(policy_path("")).read_bytes()
    monkeypatch.setattr(
        training, "export_policy", lambda policy, path, info: path.write_bytes(shipped)
    )
    td3bc.main(make_args(tmp_path, "whole"))
    real, calls = training.SequenceTraining.step, []

    def stopped(*rest: Any) -> Any:
        calls.append(rest)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return real(*rest)

    with monkeypatch.context() as patch:
        patch.setattr(training.SequenceTraining, "step", stopped)
        td3bc.main(make_args(tmp_path, "broken"))
    td3bc.main(make_args(tmp_path, "broken", resume=True))
    assert all(map(torch.equal, weights(tmp_path / "whole"), weights(tmp_path / "broken")))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"flown_ticks": 5}, "--flown-ticks"),
        ({"flown_ticks": 101}, "--flown-ticks"),
        ({"guide": "nobody"}, "no guide"),
        ({"disturbances": "none"}, "disturbances"),
    ],
)
def test_bad_arguments_are_one_sentence(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        td3bc.main(make_args(tmp_path, "bad", **options))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
