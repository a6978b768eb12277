"""Pilots that misjudge their height."""

from __future__ import annotations

import numpy as np
import pytest

from snn_controller.paths import policy_path
from snn_training.rollouts.collect import Recipe, collect
from snn_training.rollouts.skill import Handicap


@pytest.mark.parametrize("pilot", ["geometric", "hover_mlp"])
def test_they_hover_above_the_target_by_what_each_drew_and_survive(pilot: str) -> None:
    policy = pilot if pilot == "geometric" else str(policy_path(pilot))
    recipe = Recipe(
        policy,
        episodes=20,
        starts=("hover",),
        conditions=("nominal",),
        moving_share=0.0,
        handicap=Handicap(lean=0.4),
    )
    episodes = collect(recipe, seed=3)
    assert not episodes.terminated.any()
    heights = episodes.observations[:, -1, 2]
    assert heights.min() > -0.02
    assert heights.max() < 0.42
    assert heights.std() > 0.08  # each its own
    assert np.corrcoef(heights**2, episodes.returns)[0, 1] < -0.97  # the higher, the less
