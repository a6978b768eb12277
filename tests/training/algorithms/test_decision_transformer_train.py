"""Offline training: whole small runs, resumed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_training.algorithms.decision_transformer.learner import LearnerConfig, step_size
from snn_training.algorithms.decision_transformer.train import Args, main
from snn_training.artifacts.transformer import Args as ExportArgs
from snn_training.artifacts.transformer import main as export_again
from snn_training.data.store import save_episodes
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.networks.config import TransformerConfig
from support.episode_samples import make_episodes
from support.transformer_samples import SMALL

pytest.importorskip("minari", reason="datasets are stored by Minari")
QUIET = ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0)
DATA = "drone/test/mixed-v0"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasets")
    episodes = make_episodes([60] * 60, skills=["good"] * 30 + ["bad"] * 30)
    save_episodes(episodes, DATA, root=folder)
    return folder


def arguments(root: Path, folder: Path, **changes: Any) -> Args:
    options: dict[str, Any] = {
        "name": "run",
        "folder": folder,
        "datasets": (DATA,),
        "dataset_folder": root,
        "intervals": 2,
        "updates": 3,
        "validation": 4,
        "target": 0.0,
        "learner": LearnerConfig(batch=8, chunk=10),
        "network": TransformerConfig(**SMALL),
        "reporting": QUIET,
    }
    return Args(**{**options, **changes})


def test_a_run_leaves_a_policy_that_flies_and_says_where_it_comes_from(
    root: Path, tmp_path: Path
) -> None:
    main(arguments(root, tmp_path))
    policy = Policy.load(tmp_path / "run" / "policy.onnx")
    assert policy.step(np.zeros(18)).shape == (4,)
    assert policy.metadata.target_return is not None
    assert policy.metadata.provenance["data"]["good"]["episodes"] == 30
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["config"]["network"]["kind"] == "spiking"
    assert len((tmp_path / "run" / "progress.csv").read_text().splitlines()) == 3
    again = tmp_path / "again.onnx"
    export_again(ExportArgs(tmp_path / "run", again))
    assert again.read_bytes() == (tmp_path / "run" / "policy.onnx").read_bytes()


def test_a_resumed_run_ends_as_an_uninterrupted_one(root: Path, tmp_path: Path) -> None:
    whole = arguments(root, tmp_path / "whole", intervals=2)
    main(whole)
    parts = arguments(root, tmp_path / "parts", intervals=2)

    class Interrupt(Exception):
        pass

    import snn_training.algorithms.decision_transformer.train as script

    real, calls = script.save_interval, []

    def once(*given: Any) -> None:
        real(*given)
        calls.append(1)
        if len(calls) == 1:
            raise Interrupt

    script.save_interval = once
    try:
        with pytest.raises(Interrupt):
            main(parts)
    finally:
        script.save_interval = real
    main(arguments(root, tmp_path / "parts", intervals=2, resume=True))
    one, other = (
        torch.load(tmp_path / x / "run" / "checkpoint.pt", weights_only=True)["learner"]
        for x in ("whole", "parts")
    )
    for name, weight in one["actor"].items():
        assert torch.equal(weight, other["actor"][name]), name


def test_a_dense_one_and_plain_cloning_train_by_the_same_code(root: Path, tmp_path: Path) -> None:
    for number, options in enumerate([{"kind": "dense"}, {"conditioned": False}]):
        network = TransformerConfig(**{**SMALL, **options})
        main(arguments(root, tmp_path, name=str(number), intervals=1, network=network))
        assert Policy.load(tmp_path / str(number) / "policy.onnx").metadata.control_rate == 100.0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"best": 0.0}, "--best is out of range"),
        ({"datasets": ()}, "--datasets"),
        ({"datasets": ("drone/none/here-v0",)}, "drone/none/here-v0"),
        ({"learner": LearnerConfig(chunk=7)}, "--stretches.ticks"),
        ({"learner": LearnerConfig(chunk=100)}, "--stretches.ticks|shorter than the window"),
        ({"network": TransformerConfig(heads=3)}, "--network.heads"),
        ({"network": TransformerConfig(window=1)}, "--network.window"),
        ({"network": TransformerConfig(control_rate=50.0)}, "--network.control-rate"),
    ],
)
def test_impossible_options_are_one_sentence(
    root: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        main(arguments(root, tmp_path, **changes))


def test_a_target_outside_the_data_is_moved_in_with_a_warning(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(arguments(root, tmp_path, target=480.0, intervals=1))
    assert "the data's returns are" in capsys.readouterr().err
    target = Policy.load(tmp_path / "run" / "policy.onnx").metadata.target_return
    assert target is not None
    assert target < 480.0


def test_step_sizes_rise_and_fall() -> None:
    config = LearnerConfig(learning_rate=1.0, warm_up=10)
    sizes = [step_size(config, update, 100) for update in range(100)]
    assert sizes[0] == pytest.approx(0.1)
    assert max(sizes) == sizes[9]
    assert sizes[-1] == pytest.approx(0.1, abs=0.01)
