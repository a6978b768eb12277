"""The command that makes datasets: what it is told, what it writes, what it says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snn_controller.errors import UserError

pytest.importorskip("minari")

from snn_sim.task.reward import RewardCoefficients
from snn_training.data.store import load_episodes
from snn_training.rollouts import dataset
from snn_training.rollouts.recipes import Recipe
from support.places import ROOT

NAME = "drone/hover/test-v0"


def make_args(folder: Path, **options: Any) -> dataset.Args:
    args = dataset.Args(name=NAME, policy=("hover",), episodes=6, folder=folder)
    return replace(args, **options)


def test_several_policies_share_the_episodes(tmp_path: Path) -> None:
    dataset.main(make_args(tmp_path, policy=("hover", "random"), episodes=5, skill="replay"))
    episodes = load_episodes(NAME, root=tmp_path)
    assert [x["policy"] for x in episodes.metadata] == ["hover.onnx"] * 3 + ["random"] * 2
    assert set(episodes.skills) == {"replay"}


def test_a_suite_is_a_dataset_for_each_skill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"expert", "medium", "poor", "random", "guide"} <= {
        recipe.skill for recipe in dataset.SUITE.values()
    }
    small = {
        "drone/hover/aa-v0": Recipe("hover", "a", 2),
        "drone/hover/bb-v0": Recipe("random", "b", 3),
    }
    monkeypatch.setattr(dataset, "SUITE", small)
    dataset.main(make_args(tmp_path, name="", suite=True))
    episodes = load_episodes(list(small), root=tmp_path)
    assert episodes.skills == ["a", "a", "b", "b", "b"]


def test_joined_datasets_are_paid_anew(tmp_path: Path) -> None:
    dataset.main(make_args(tmp_path))
    own = RewardCoefficients(position=0.0, velocity=0.0, throttle=0.0, attitude=0.0, survival=2.0)
    dataset.main(
        make_args(
            tmp_path, name="drone/hover/two-v0", join=(NAME, NAME), relabel="own", coefficients=own
        )
    )
    once, twice = (
        load_episodes(NAME, root=tmp_path),
        load_episodes("drone/hover/two-v0", root=tmp_path),
    )
    assert len(twice) == 2 * len(once)
    np.testing.assert_array_equal(twice.returns[:6], 2.0 * once.lengths)
    assert twice.metadata[0]["reward_coefficients"]["survival"] == 2.0


def test_describe_prints_and_draws_what_is_inside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.main(make_args(tmp_path))
    picture = tmp_path / "picture.png"
    dataset.main(make_args(tmp_path, name="", describe=(NAME,), picture=picture))
    said = capsys.readouterr().out
    for part in ("6 episodes", "at 100 Hz", "crazyflie21", "expert", "hover.onnx", "pushed", "p90"):
        assert part in said
    assert "of one skill (expert)" in said
    assert picture.stat().st_size > 10_000
    dataset.main(make_args(tmp_path, name="", describe=(NAME,)))
    assert (tmp_path / NAME / dataset.PICTURE).exists()
    with pytest.raises(UserError, match=r"ends in \.png"):
        dataset.main(make_args(tmp_path, name="", describe=(NAME,), picture=tmp_path / "x.doc"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": ""}, "a dataset needs a name; give --name"),
        ({"bag": ("x",), "join": ("y",)}, "--bag and --join are two jobs; give one of them"),
        ({"policy": ("nobody",)}, "there is no pilot 'nobody'; give geometric"),
        ({"policy": ()}, "--policy needs a name"),
        ({"episodes": 0}, "--episodes one for each"),
        ({"conditions": ("storm",)}, "unknown condition 'storm'"),
        ({"name": "bad name"}, "'bad name' is no usable id"),
        ({"bag": ("/nowhere",)}, "bag /nowhere does not exist"),
        ({"join": ("drone/hover/none-v0",)}, "there is no dataset drone/hover/none-v0"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_writes_nothing(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        dataset.main(make_args(tmp_path, **options))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_as_a_command(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "training" / "dataset.py"), "--folder", str(tmp_path)]
    done = subprocess.run([*words, "--name", "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: 'x' is no usable id") and done.stderr.count("\n") == 1
