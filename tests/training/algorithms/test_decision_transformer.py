"""Decision transformers: the data side by side, the loss and its prices, and whole small runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_training.algorithms import runner
from snn_training.algorithms.decision_transformer.data import (
    Chunk,
    Lanes,
    SegmentConfig,
    return_range,
)
from snn_training.algorithms.decision_transformer.learner import (
    TransformerLearner,
    TransformerLearnerConfig,
    begin_anew,
    cloning_loss,
    rate_price,
    step_size,
)
from snn_training.algorithms.decision_transformer.train import Args, main
from snn_training.artifacts.transformer import Args as ExportArgs
from snn_training.artifacts.transformer import main as export_again
from snn_training.data.episodes import EpisodeSet
from snn_training.data.store import save_episodes
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.networks.config import TransformerConfig
from snn_training.networks.transformer.blocks import TURN
from snn_training.networks.transformer.in_flight import HORIZON, mean_returns_to_go
from snn_training.networks.transformer.model import POSITION
from support.episode_samples import make_episodes
from support.transformer_samples import SMALL, transformer


def numbered(lengths: list[int]) -> EpisodeSet:
    """Episodes whose first observation names the episode and the second the tick."""
    episodes = make_episodes(lengths)
    episodes.observations[..., 0] = np.arange(len(lengths))[:, None]
    episodes.observations[..., 1] = np.arange(episodes.observations.shape[1])
    return episodes


def test_every_row_is_of_one_tick_and_the_last_action_of_the_one_before() -> None:
    episodes = numbered([60, 45, 80])
    lanes, rng = Lanes(episodes, 16, 10, SegmentConfig(ticks=30)), np.random.default_rng(0)
    means = mean_returns_to_go(episodes.rewards, episodes.lengths)
    for _ in range(12):
        chunk = lanes.chunk(rng)
        for lane in range(16):
            for row in range(10):
                if not chunk.weights[row, lane, 0]:
                    continue
                number, tick = (int(x) for x in chunk.observations[row, lane, :2])
                assert tick < episodes.lengths[number]
                np.testing.assert_array_equal(
                    chunk.actions[row, lane], episodes.actions[number, tick]
                )
                before = episodes.applied[number, tick - 1] if tick else np.zeros(4)
                np.testing.assert_array_equal(chunk.last_actions[row, lane], before)
                assert chunk.returns[row, lane, 0].item() == pytest.approx(means[number, tick])


def test_chunks_follow_each_other_until_a_stretch_ends() -> None:
    lanes = Lanes(numbered([200] * 5), 32, 10, SegmentConfig(ticks=40))
    rng = np.random.default_rng(1)
    before, begun = lanes.chunk(rng), 0
    assert not before.keep.any()  # everyone begins
    for _ in range(20):
        chunk = lanes.chunk(rng)
        goes_on = chunk.keep[:, 0] > 0
        last, first = before.observations[-1, :, :2], chunk.observations[0, :, :2]
        assert (first[goes_on, 0] == last[goes_on, 0]).all()
        assert (first[goes_on, 1] == last[goes_on, 1] + 1).all()
        begun += int((~goes_on).sum())
        before = chunk
    assert begun == pytest.approx(20 * 32 / 4, rel=0.2)


def test_what_lies_after_an_end_has_no_weight() -> None:
    lanes, rng = Lanes(numbered([7, 9]), 8, 20, SegmentConfig(ticks=20)), np.random.default_rng(0)
    chunk = lanes.chunk(rng)
    lengths = np.array([7, 9])[chunk.observations[0, :, 0].int().numpy()]
    np.testing.assert_array_equal(chunk.weights.sum(0)[:, 0].numpy(), lengths)


def test_lanes_go_on_from_a_snapshot() -> None:
    episodes = numbered([100, 50, 70])
    one, other = (Lanes(episodes, 6, 10, SegmentConfig(ticks=20)) for _ in range(2))
    rng = np.random.default_rng(3)
    for _ in range(5):
        one.chunk(rng)
    other.restore({name: x.copy() for name, x in one.snapshot().items()})
    rngs = (np.random.default_rng(4), np.random.default_rng(4))
    for _ in range(5):
        for ours, theirs in zip(one.chunk(rngs[0]), other.chunk(rngs[1]), strict=True):
            assert (ours == theirs).all()


def test_the_range_of_returns_holds_most_episodes_and_one_return_is_refused() -> None:
    episodes = make_episodes([500] * 20)
    low, high = return_range(episodes)
    means = mean_returns_to_go(episodes.rewards, episodes.lengths)
    inside = (means * HORIZON >= low) & (means * HORIZON <= high)
    assert inside.mean() == pytest.approx(0.98, abs=0.005)
    same = np.ones_like(episodes.rewards)
    with pytest.raises(UserError, match="same return"):
        return_range(replace(episodes, rewards=same))


CONFIG = TransformerLearnerConfig(batch=8, chunk=10, warm_up=1, learning_rate=5e-3)


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
    lanes, rng = Lanes(episodes, 8, 10, SegmentConfig(ticks=20)), np.random.default_rng(0)
    learner = TransformerLearner(CONFIG, TransformerConfig(**SMALL), seed=0)
    losses = [learner.update(lanes, 10.0, 150, rng).cloning for _ in range(150)]
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:20])
    assert np.isfinite(losses).all()
    assert learner.updates == 150


def test_the_same_seed_learns_the_same_bit_by_bit() -> None:
    weights = []
    for _ in range(2):
        lanes = Lanes(make_episodes([60] * 10), 8, 10, SegmentConfig(ticks=20))
        learner, rng = TransformerLearner(CONFIG, TransformerConfig(**SMALL), seed=3), None
        rng = np.random.default_rng(0)
        for _ in range(4):
            learner.update(lanes, 10.0, 4, rng)
        weights.append(learner.actor.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


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
        "learner": TransformerLearnerConfig(batch=8, chunk=10),
        "network": TransformerConfig(**SMALL),
        "reporting": QUIET,
    }
    return Args(**{**options, **changes})


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = arguments(root, tmp_path / "whole", intervals=2)
    main(whole)
    parts = arguments(root, tmp_path / "parts", intervals=2)

    class Interrupt(Exception):
        pass

    real, calls = runner.save_run, []

    def once(*given: Any) -> None:
        real(*given)
        calls.append(1)
        if len(calls) == 2:  # after the first checkpoint and the first interval
            raise Interrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner, "save_run", once)
        with pytest.raises(Interrupt):
            main(parts)
    main(arguments(root, tmp_path / "parts", intervals=2, resume=True))
    one, other = (
        torch.load(tmp_path / x / "run" / "checkpoint.pt", weights_only=True)["learner"]
        for x in ("whole", "parts")
    )
    for name, weight in one["actor"].items():
        assert torch.equal(weight, other["actor"][name]), name


@pytest.mark.slow
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
        ({"learner": TransformerLearnerConfig(chunk=7)}, "--stretches.ticks"),
        (
            {"learner": TransformerLearnerConfig(chunk=100)},
            "--stretches.ticks|shorter than the window",
        ),
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


@pytest.mark.slow
def test_a_target_outside_the_data_is_moved_in_with_a_warning(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(arguments(root, tmp_path, target=480.0, intervals=1))
    assert "the data's returns are" in capsys.readouterr().err
    target = Policy.load(tmp_path / "run" / "policy.onnx").metadata.target_return
    assert target is not None
    assert target < 480.0


def test_step_sizes_rise_and_fall() -> None:
    config = TransformerLearnerConfig(learning_rate=1.0, warm_up=10)
    sizes = [step_size(config, update, 100) for update in range(100)]
    assert sizes[0] == pytest.approx(0.1)
    assert max(sizes) == sizes[9]
    assert sizes[-1] == pytest.approx(0.1, abs=0.01)
