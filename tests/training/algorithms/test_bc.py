"""Behavioural cloning end to end, tiny: reproducible, learns, writes a policy that loads."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_sim.task.episode import EpisodeConfig
from snn_training.algorithms import bc
from snn_training.data.segments import (
    Demonstrations,
    cut_demonstrations,
    sample_demonstrations,
)
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.networks.config import NetworkConfig
from snn_training.neurons.surrogate import SlopeConfig
from snn_training.rollouts.scripted import flight_score
from support.finished_runs import Killed, rows_of


def _args(folder: Path, name: str, **options: Any) -> bc.Args:
    args = bc.Args(
        name=name,
        folder=folder,
        rounds=2,
        drones=2,
        flights=2,
        updates=6,
        batch=4,
        threads=1,
        episodes=EpisodeConfig(ticks=120),
        network=NetworkConfig(hidden=(16, 8)),
        reporting=ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0),
    )
    return replace(args, **options)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        bc.main(_args(folder, name, seed=seed))
    return folder


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["learner"]["actor"]


@pytest.mark.slow
def test_same_seed_gives_identical_weights(runs: Path) -> None:
    one, same, other = (_weights(runs / name) for name in ("one", "same", "other"))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["readout_weight"], other["readout_weight"])


def test_run_folder_reproduces(runs: Path) -> None:
    config = json.loads((runs / "one" / "config.json").read_text())
    assert config["seed"] == 0
    assert config["config"]["rounds"] == 2
    assert config["git"]
    with (runs / "one" / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == ["0", "1"]
    assert [row["updates"] for row in rows] == ["6", "12"]
    assert all(0.0 <= float(row["survival"]) <= 1.0 for row in rows)
    assert (runs / "one" / "learning_curve.png").stat().st_size > 1000


def test_its_policy_loads_and_tells_where_it_comes_from(runs: Path) -> None:
    policy = Policy.load(runs / "one" / "policy.onnx", airframe="crazyflie21", control_rate=100.0)
    assert policy.metadata.provenance["seed"] == 0
    assert set(policy.metadata.spike_statistics["rate_per_tick"]) == {"lif1", "lif2"}
    assert np.isfinite(policy.step(np.zeros(18))).all()


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["interval", "adaptive"])
def test_slope_follows_its_schedule(tmp_path: Path, schedule: Any) -> None:
    bc.main(_args(tmp_path, "run", slope=SlopeConfig(schedule)))
    with (tmp_path / "run" / "progress.csv").open() as file:
        slopes = [float(row["slope"]) for row in csv.DictReader(file)]
    assert slopes[0] == 5.0
    assert slopes[1] == 100.0 if schedule == "interval" else 1.0 <= slopes[1] <= 50.0


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"kind": "gru"}, {"kind": "mlp_history"}, {"memory": False}])
def test_other_networks_train_by_the_same_script(tmp_path: Path, options: dict[str, Any]) -> None:
    network = NetworkConfig(hidden=(16, 8), **options)
    bc.main(_args(tmp_path, "run", network=network))
    policy = Policy.load(tmp_path / "run" / "policy.onnx")
    assert policy.metadata.provenance["config"]["network"]["kind"] == network.kind
    assert np.isfinite(policy.step(np.zeros(18))).all()


def test_flight_score_counts_nearness_until_lost() -> None:
    errors = np.array([[0.0, 0.0, 0.3, 9.0], [0.0, 0.6, 0.0, 0.0]], np.float32)
    empty = np.zeros((2, 4, 1), np.float32)
    score = flight_score(Demonstrations(empty, empty, errors, np.array([4, 2])))
    assert score == pytest.approx((1.0 + 1.0 + 0.5 + 1.0) / 8.0)


def test_a_finished_run_is_not_overwritten(runs: Path) -> None:
    with pytest.raises(UserError, match="already holds a run"):
        bc.main(_args(runs, "one"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "update"), [(KeyboardInterrupt(), 3), (KeyboardInterrupt(), 8), (Killed(), 14)]
)
def test_an_interrupted_run_resumes_as_if_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, update: int
) -> None:
    options = {"rounds": 3, "slope": SlopeConfig("adaptive")}
    bc.main(_args(tmp_path, "whole", **options))
    real, calls = bc.CloningLearner.update, []

    def stopped(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > update:
            raise error
        return real(*arguments)

    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(bc.CloningLearner, "update", stopped)
        assert not bc.main(_args(tmp_path, "broken", **options))
    assert (tmp_path / "broken" / "policy.onnx").exists() == (update > 6)
    assert bc.main(_args(tmp_path, "broken", resume=True, **options))
    whole, broken = _weights(tmp_path / "whole"), _weights(tmp_path / "broken")
    assert all(torch.equal(whole[key], broken[key]) for key in whole)
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "broken")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"rounds": 0}, "--rounds"),
        ({"slope": SlopeConfig(start=0.5)}, "--slope.start"),
        ({"slope": SlopeConfig(end=200.0)}, "--slope.end"),
        ({"warm_up": 100}, "--warm-up"),
        ({"sequence": 500}, "--sequence"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"name": "a/b"}, "--name"),
        ({"airframe": "airship"}, "airship"),
        ({"network": NetworkConfig(hidden=())}, "--network.hidden"),
        ({"network": NetworkConfig(min_threshold=0.0)}, "--network.min-threshold"),
        ({"episodes": EpisodeConfig(ticks=120, starts=("nowhere",))}, "nowhere"),
    ],
)
def test_bad_arguments_are_one_sentence(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        bc.main(replace(_args(tmp_path, "bad"), **options))
    assert "\n" not in str(caught.value)


def _episodes(lengths: list[int], ticks: int = 200) -> Demonstrations:
    count = len(lengths)
    stamp = (
        np.arange(ticks, dtype=np.float32) + 1000.0 * np.arange(count, dtype=np.float32)[:, None]
    )
    return Demonstrations(
        observations=np.repeat(stamp[..., None], 18, axis=2),
        labels=np.repeat(stamp[..., None], 4, axis=2),
        errors=stamp,
        lengths=np.array(lengths),
    )


def test_segments_stay_inside_episodes_and_skip_warm_up_and_crashes() -> None:
    segments = cut_demonstrations(_episodes([200, 70]), ticks=100, warm_up=50)
    steps = np.diff(segments.observations[:, :, 0], axis=0)
    assert (steps == 1.0).all()  # consecutive ticks of one episode
    counted = segments.observations[..., 0][segments.counted]
    assert sorted(counted[counted < 1000]) == list(range(200))  # every tick exactly once
    assert sorted(counted[counted >= 1000]) == list(range(1000, 1070))


def test_batches_are_time_first() -> None:
    segments = cut_demonstrations(_episodes([200]), ticks=100, warm_up=50)
    observations, labels, weights = sample_demonstrations(segments, 5, np.random.default_rng(0))
    assert observations.shape == (100, 5, 18)
    assert labels.shape == (100, 5, 4)
    assert weights.shape == (100, 5, 1)


@pytest.mark.slow
def test_a_run_shows_itself_and_ends_with_its_scores(tmp_path: Path) -> None:
    bc.main(_args(tmp_path, "shown", reporting=ReportingConfig(batched=2, pybullet=1)))
    names = {file.name for file in (tmp_path / "shown").iterdir()}
    assert {"rollout.png", "evaluation.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
