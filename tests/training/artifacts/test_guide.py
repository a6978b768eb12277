"""The guide's artifact: its history is a state of the graph, and it flies as it was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.artifact import read_artifact
from snn_controller.policy.runtime import Policy
from snn_training.artifacts.file import ArtifactInfo, flight_like_observations
from snn_training.artifacts.guide import export_guide, fly_closely
from snn_training.networks.actor_critic import GuideActor, SpikingGuideActor

INFO = ArtifactInfo("crazyflie21", provenance={"seed": 3})


def make_actor(hidden: tuple[int, ...] = (64, 64)) -> GuideActor:
    return GuideActor(hidden, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("hidden", [(64, 64), (8,), (16, 8, 12)])
def test_the_artifact_acts_as_the_actor_tick_by_tick(
    tmp_path: Path, hidden: tuple[int, ...]
) -> None:
    actor = make_actor(hidden)
    export_guide(actor, tmp_path / "guide.onnx", INFO)
    policy = Policy.load(tmp_path / "guide.onnx", airframe="crazyflie21", control_rate=100.0)
    observations = flight_like_observations(60, np.random.default_rng(5))  # longer than the history
    expected = fly_closely(actor, observations)[0]
    for _ in range(2):  # a reset forgets the actions
        actions = np.stack([policy.step(x) for x in observations])
        np.testing.assert_allclose(actions, expected, atol=1e-6)
        policy.reset()


def test_a_spiking_actor_flies_the_same(tmp_path: Path) -> None:
    actor = SpikingGuideActor((16, 12), 3, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in actor.layers.parameters():
            weight.mul_(5.0)
        for threshold in actor.thresholds:
            threshold.sub_(0.5)  # some below rest, as they may get in training
    export_guide(actor, tmp_path / "guide.onnx", INFO)
    policy = Policy.load(tmp_path / "guide.onnx", airframe="crazyflie21", control_rate=100.0)
    observations = flight_like_observations(40, np.random.default_rng(5))
    expected, margin = fly_closely(actor, observations)
    assert margin > 1e-6  # no spike hangs on rounding
    actions = np.stack([policy.step(x) for x in observations])
    np.testing.assert_allclose(actions, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.0
    macs = 146 * 16 + 3 * 16 * 12 + 12 * 4
    assert policy.metadata.input_macs == macs


def test_the_history_matters_and_is_the_policys_own_actions(tmp_path: Path) -> None:
    export_guide(make_actor(), tmp_path / "guide.onnx", INFO)
    policy = Policy.load(tmp_path / "guide.onnx")
    first, second = policy.step(np.zeros(18)), policy.step(np.zeros(18))
    assert not np.array_equal(first, second)
    history = policy._states[policy._current]["action_history"][0]
    np.testing.assert_array_equal(history[-8:], np.concatenate([first, second]))
    np.testing.assert_array_equal(history[:-8], 0.0)


def test_the_file_is_clean_reproducible_and_says_what_it_is(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export_guide(make_actor(), tmp_path / name, INFO)
    content = read_artifact(tmp_path / "a.onnx")
    assert content == (tmp_path / "b.onnx").read_bytes()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    for entry in model.metadata_props:
        json.loads(entry.value)
    metadata = Policy.load(tmp_path / "a.onnx").metadata
    assert metadata.input_macs == 146 * 64 + 64 * 64 + 64 * 4
    assert metadata.provenance == {"seed": 3}
    assert metadata.layers == ()


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    actor = make_actor()
    with torch.no_grad():
        next(actor.parameters())[0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        export_guide(actor, tmp_path / "guide.onnx", INFO)
    assert not list(tmp_path.iterdir())
