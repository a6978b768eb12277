"""The learner of decision transformers: its loss, its prices, its states between chunks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from snn_training.algorithms.decision_transformer.data import Chunk, Lanes, Stretches
from snn_training.algorithms.decision_transformer.learner import (
    LearnerConfig,
    TransformerLearner,
    begin_anew,
    cloning_loss,
    rate_price,
)
from snn_training.networks.config import TransformerConfig
from snn_training.networks.transformer.blocks import TURN
from snn_training.networks.transformer.model import POSITION
from support.episode_samples import make_episodes
from support.transformer_samples import SMALL, transformer

CONFIG = LearnerConfig(batch=8, chunk=10, warm_up=1, learning_rate=5e-3)


def test_what_has_no_weight_has_no_loss() -> None:
    actions, labels = torch.zeros(3, 2, 4), torch.ones(3, 2, 4)
    weights = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 2, 1)
    empty = torch.zeros(3, 2, 1)
    chunk = Chunk(empty, empty, empty, labels, weights, empty)
    assert cloning_loss(actions, chunk, 1.0).item() == pytest.approx(0.5)
    labels[1:] = 100.0  # padding
    assert cloning_loss(actions, chunk, 1.0).item() == pytest.approx(0.5)


def test_layers_pay_for_noise_and_for_silence() -> None:
    quiet = torch.zeros(10, 2, 100)
    usual, loud = quiet.clone(), torch.ones(10, 2, 100)
    usual[:, :, :3] = 1.0
    half = usual.clone()
    half[:, 1] = 0.0  # silent in one of two flights
    price = {
        name: rate_price({"x": x}, CONFIG).item()
        for name, x in {"quiet": quiet, "usual": usual, "loud": loud, "half": half}.items()
    }
    assert price["usual"] == 0.0
    assert price["quiet"] == pytest.approx(CONFIG.silence_weight)
    assert price["half"] == pytest.approx(CONFIG.silence_weight / 2.0)
    assert price["loud"] == pytest.approx(CONFIG.rate_weight * 0.95**2)


def test_states_are_reset_where_a_stretch_begins_and_phases_begin_anywhere() -> None:
    network = transformer()
    states = {name: x + 3 for name, x in network.initial_states(50).items()}
    keep = (torch.arange(50) % 2 == 0).float()[:, None]
    anew = begin_anew(states, keep, torch.Generator().manual_seed(0))
    for name, state in anew.items():
        assert (state[::2] == 3).all()
        if name != POSITION:
            assert not state[1::2].any()
    phases = anew[POSITION][1::2]
    assert phases.min() >= 0
    assert phases.max() < TURN
    assert len(phases.unique()) > 20


def test_it_learns_what_can_be_learnt() -> None:
    episodes = make_episodes([100] * 20)
    episodes = replace(episodes, actions=np.tanh(episodes.observations[:, :-1, 12:16]))
    lanes, rng = Lanes(episodes, 8, 10, Stretches(ticks=20)), np.random.default_rng(0)
    learner = TransformerLearner(CONFIG, TransformerConfig(**SMALL), seed=0)
    losses = [learner.update(lanes, 10.0, 150, rng).cloning for _ in range(150)]
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:20])
    assert learner.is_finite()
    assert learner.updates == 150


def test_the_same_seed_learns_the_same_bit_by_bit() -> None:
    weights = []
    for _ in range(2):
        lanes = Lanes(make_episodes([60] * 10), 8, 10, Stretches(ticks=20))
        learner, rng = TransformerLearner(CONFIG, TransformerConfig(**SMALL), seed=3), None
        rng = np.random.default_rng(0)
        for _ in range(4):
            learner.update(lanes, 10.0, 4, rng)
        weights.append(learner.actor.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
