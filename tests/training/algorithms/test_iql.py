"""IQL, tiny: it prefers better actions, clones, resumes, and begins from a policy file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from support.episode_samples import make_episodes

pytest.importorskip("minari")

from snn_training.algorithms import iql, runner
from snn_training.algorithms.iql import IQLConfig, IQLLearner, expectile_loss, mean_value
from snn_training.data.episodes import EpisodeSet, all_steps, critic_inputs, transitions_at
from snn_training.data.segments import sample_episodes
from snn_training.data.store import save_episodes
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import make_network

NAME = "drone/hover/tiny-v0"
TINY = IQLConfig(
    critic_hidden=(8,), critic_batch=16, batch=4, sequence=12, warm_up=5, actor_rate=1e-3
)
MLP = NetworkConfig(kind="mlp", hidden=(8,))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    save_episodes(make_episodes([20, 30, 25, 8], skills=["a", "b", "a", "b"]), NAME)
    return tmp_path


def make_args(folder: Path, name: str, **options: Any) -> iql.Args:
    args = iql.Args(
        dataset=(NAME,),
        name=name,
        folder=folder,
        intervals=2,
        updates=4,
        validation=4,
        held_out=0.5,
        network=NetworkConfig(hidden=(8, 6), readout="leaky", action_feedback=True),
        learner=TINY,
        reporting=ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0),
    )
    return replace(args, **options)


def actor_of(folder: Path) -> list[torch.Tensor]:
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    return list(content["learner"]["actor"].values())


def test_transitions_are_those_of_the_episodes() -> None:
    episodes = make_episodes([40, 3])
    numbers, steps = all_steps(episodes)
    batch = transitions_at(episodes, numbers, steps)
    last = np.array([39, 42])
    assert (batch.terminated[last] == episodes.terminated).all()
    assert not np.delete(batch.terminated, last).any()  # the clock ends no future
    np.testing.assert_array_equal(batch.next_inputs[0], batch.inputs[1])
    np.testing.assert_array_equal(batch.next_inputs[42, :18], episodes.observations[1, 3])
    history = critic_inputs(episodes, np.array([0]), np.array([35]))[0, 18:].reshape(32, 4)
    np.testing.assert_array_equal(history, episodes.applied[0, 3:35])
    assert not critic_inputs(episodes, np.array([1]), np.array([0]))[0, 18:].any()


def test_segments_count_ticks_whose_state_is_warm() -> None:
    episodes = make_episodes([40, 9])
    segments = sample_episodes(
        episodes,
        all_steps(episodes),
        60,
        ticks=12,
        warm_up=5,
        start_share=0.5,
        rng=np.random.default_rng(0),
    )
    assert segments.observations.shape == (12, 60, 18)
    for column, number in enumerate(segments.flights[0]):
        steps, counted = segments.steps[:, column], segments.counted[:, column]
        begins = np.flatnonzero(segments.restarts[:, column])
        first = begins[0] if len(begins) else 5
        assert counted.tolist() == [tick >= first for tick in range(12)]
        for array, source in (
            (segments.labels, episodes.actions),
            (segments.actions, episodes.applied),
        ):
            np.testing.assert_array_equal(array[first:, column], source[number, steps[first:]])
    assert 0 < segments.restarts.any(axis=0).sum() < 60


def test_an_expectile_is_where_its_loss_is_least() -> None:
    values = torch.tensor(np.random.default_rng(0).normal(size=400))
    grid = torch.linspace(-1.0, 1.5, 501)
    best = [
        float(grid[torch.stack([expectile_loss(values - x, share) for x in grid]).argmin()])
        for share in (0.5, 0.7, 0.9)
    ]
    assert best[0] == pytest.approx(float(values.mean()), abs=0.01)
    assert best[0] < best[1] < best[2]


def test_values_begin_with_what_the_data_earned() -> None:
    episodes = make_episodes([50, 50])
    hovering = replace(episodes, rewards=np.ones_like(episodes.rewards))
    assert mean_value(hovering, 0.0) == pytest.approx(1.0)
    assert (
        0.1 < mean_value(hovering, 0.98) < 0.63
    )  # 1 - 0.98^50 at the first step, 0.02 at the last


def choices(lengths: list[int]) -> EpisodeSet:
    """Episodes of one step in one state: half the actions earn 1, the others nothing."""
    episodes = make_episodes(lengths)
    good = np.arange(len(lengths)) % 2 == 0
    actions = np.where(good[:, None, None], 0.5, -0.5) * np.ones((len(lengths), 1, 4))
    return replace(
        episodes,
        observations=np.zeros_like(episodes.observations),
        actions=actions.astype(np.float32),
        rewards=good[:, None].astype(np.float32),
        terminated=np.ones(len(lengths), np.bool_),
    )


@pytest.mark.parametrize(("beta", "least", "most"), [(0.0, -0.15, 0.15), (0.01, 0.35, 0.6)])
def test_the_policy_prefers_what_earned_more(beta: float, least: float, most: float) -> None:
    config = replace(TINY, beta=beta, sequence=2, warm_up=0, actor_rate=1e-2, critic_rate=1e-2)
    config = replace(config, gamma=0.5, tau=0.1, critic_hidden=(16,), batch=32)
    actor = make_network(MLP, generator=torch.Generator().manual_seed(0))
    learner = IQLLearner(config, actor, choices([1] * 40), seed=0)
    rng = np.random.default_rng(0)
    weights = [learner.update(5.0, rng).weight for _ in range(300)][-1]
    action = actor(torch.zeros(1, 1, 18), (), 5.0)[0].mean().item()
    assert least < action < most
    assert (weights == 1.0) == (beta == 0.0)


@pytest.mark.slow
def test_an_interrupted_run_resumes_as_if_unbroken(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "plot_log", lambda *rest: None)
    iql.main(make_args(store, "whole"))

    def stop(run: Any, row: Any) -> None:
        raise KeyboardInterrupt

    log_row = runner.log_row
    calls = iter([log_row, stop])
    monkeypatch.setattr(runner, "log_row", lambda run, row: next(calls)(run, row))
    iql.main(make_args(store, "broken"))
    monkeypatch.setattr(runner, "log_row", log_row)
    iql.main(make_args(store, "broken", resume=True))
    for one, other in zip(actor_of(store / "whole"), actor_of(store / "broken"), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.slow
def test_a_policy_is_gone_on_from(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "plot_log", lambda *rest: None)
    iql.main(make_args(store, "first", network=MLP))
    still = replace(TINY, beta=0.0, actor_rate=1e-12)
    source = str(store / "first")
    iql.main(make_args(store, "second", init=source, learner=still))
    first, second = (Policy.load(store / x / "policy.onnx") for x in ("first", "second"))
    for observation in np.random.default_rng(0).normal(size=(3, 18)):
        np.testing.assert_allclose(second.step(observation), first.step(observation), atol=1e-5)
    assert second.metadata.provenance["config"]["network"]["kind"] == "mlp"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dataset": ()}, "there is nothing to learn from; give --dataset"),
        ({"dataset": ("none-v0",)}, "there is no dataset none-v0"),
        ({"init": "/nowhere.onnx"}, "/nowhere.onnx does not exist"),
        ({"init": "hover_rates"}, "hover_rates commands thrust_rates and the data motors"),
        ({"network": replace(MLP, control_rate=50.0)}, "ticks at 50 Hz and the data at 100 Hz"),
        ({"learner": replace(TINY, expectile=1.0)}, "--learner.expectile is out of range"),
        ({"learner": replace(TINY, sequence=90, warm_up=80)}, "shorter than the window of 81"),
        ({"held_out": 1.0}, "--held-out is out of range"),
    ],
)
def test_bad_input_is_one_sentence(store: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        iql.main(make_args(store, "run", **options))
    assert not (store / "run").exists()
